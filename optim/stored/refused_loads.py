"""What a refused load of an optimizer's state says: nothing was changed, and a cure."""

from collections.abc import Mapping, Sequence

from ...config.short_text import first_names
from ...records.entries.optimizer_states import optimizers_in, subscripts
from ...records.errors import RecordMismatchError

UNCHANGED = "The optimizer is unchanged."
"""The part of advice that every refused load begins with."""

IN_STATE_DICT = "the state dict"
"""The place that errors name where a state dict is loaded instead of a file."""


def other_optimizer_cure() -> str:
    """Return advice for states of another optimizer."""
    return f"{UNCHANGED} {other_optimizer()}"


def other_optimizer(saved_kind: str = "") -> str:
    """Return what to do with states of another optimizer, of this class if known."""
    kind = saved_kind and f", {saved_kind}"
    return (
        f"Continue with the optimizer that was saved{kind}, or do not load this "
        "file, to start from scratch."
    )


def check_is_state(content: object) -> None:
    """Raise for anything but the state dict of an optimizer, with what loads it."""
    if not isinstance(content, Mapping):
        raise TypeError(
            f"load_state_dict takes the result of state_dict(), got {content!r:.60}; "
            "optimizer.load_record reads a file of save_record, "
            "torch.load(file, weights_only=True) one of torch.save"
        )
    if {"state", "param_groups"} <= content.keys():
        return
    keys = first_names(map(str, content), 5)
    paths = [subscripts(keys) for keys, _ in optimizers_in(content)]
    raise RecordMismatchError(
        IN_STATE_DICT,
        [f"found a dict with {keys}, expected one with state and param_groups"],
        f"{UNCHANGED} {_where_it_is(paths)}",
    )


def _where_it_is(paths: Sequence[str]) -> str:
    if not paths:
        return "Pass the result of state_dict() of an optimizer."
    return "It is inside: " + " or ".join(
        f"optimizer.load_state_dict(content{path})" for path in paths[:4]
    )
