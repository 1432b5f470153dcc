"""How a model's ``compute_metrics`` is called, by the names of its parameters."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...config.short_text import with_article


def takes_batch(compute_metrics: Callable[..., Any]) -> bool:
    """Return whether it is ``(self, batch, ...)``, not ``(outputs, targets)``."""
    names = [*inspect.signature(compute_metrics).parameters][1:]
    return bool(names) and names[0] in ("batch", "args")


def outputs_and_targets(model: Any, batch: Any) -> tuple[Any, Any]:
    """Return what ``model`` makes of a batch's inputs, and its targets.

    TypeError for a batch that is not a pair; such a model takes the batch itself.
    """
    if isinstance(batch, Sequence) and len(batch) == 2 and not isinstance(batch, str):
        return model(batch[0]), batch[1]
    batch_kind = (
        f"a dict of {', '.join(map(str, batch))}"
        if isinstance(batch, Mapping)
        else with_article(type(batch).__name__)
    )
    raise TypeError(
        f"compute_metrics(outputs, targets) needs batches of two items, found "
        f"{batch_kind}; "
        "write compute_metrics(self, batch, batch_idx) for other batches"
    )
