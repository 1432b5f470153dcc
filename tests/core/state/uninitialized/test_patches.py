"""Functions of torch that others patch stay patched."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import nn

from burnish.core import skip_init
from burnish.core.state.uninitialized.unfilled import UnfilledParameter

pytestmark = pytest.mark.usefixtures("poisoned_memory")


MOMENTS = ("before", "inside", "after")


def patch(owner: Any, name: str, label: str, seen: list[str]) -> Callable[[], None]:
    """Wrap a function as other libraries do; return what takes the patch down."""
    inner: Any = getattr(owner, name)

    def patched(*args: Any, **kwargs: Any) -> Any:
        seen.append(label)
        return inner(*args, **kwargs)

    setattr(owner, name, patched)
    return lambda: setattr(owner, name, inner)


@pytest.mark.parametrize("order", [*permutations(MOMENTS)], ids="-".join)
@pytest.mark.parametrize(
    ("owner", "name", "use"),
    [
        (nn.Parameter, "__new__", lambda: nn.Parameter(torch.empty(2))),
        (
            nn.init,
            "_no_grad_trunc_normal_",
            lambda: nn.init.trunc_normal_(nn.Parameter(torch.empty(2))),
        ),
        (torch, "set_rng_state", lambda: torch.set_rng_state(torch.get_rng_state())),
    ],
)
def test_functions_of_torch_patched_by_others_stay_patched(
    owner: Any,
    name: str,
    use: Callable[[], Any],
    order: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, name, getattr(owner, name))
    seen: list[str] = []
    take_down = {"before": patch(owner, name, "before", seen)}
    with skip_init():
        take_down["inside"] = patch(owner, name, "inside", seen)
        use()
        assert isinstance(nn.Linear(2, 2).weight, UnfilledParameter)
        assert "inside" in seen
    take_down["after"] = patch(owner, name, "after", seen)

    seen.clear()
    use()
    assert set(seen) == set(MOMENTS)

    for label in order:
        take_down[label]()
        with skip_init():
            use()
            assert isinstance(nn.Linear(2, 2).weight, UnfilledParameter)
        assert nn.Linear(2, 2).weight.isfinite().all()
