"""What stands around a step: a second pass (SAM), and a log by path."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import SGD, AdamW

with warnings.catch_warnings():
    # It imports what a newer torch deprecates.
    warnings.simplefilter("ignore")
    import pytorch_optimizer

EXAMPLES = Path(__file__).parents[2] / "examples" / "optimizers"


@pytest.fixture(scope="module")
def sam_step() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("sam").sam_step


@pytest.fixture(scope="module")
def ratios_class() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("update_ratios").UpdateRatios


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def loss_of(module: nn.Module) -> Callable[[], Tensor]:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(1)).double()
    return lambda: (module(x) - x[:, :1].sin()).square().mean()


def test_sam_is_its_reference_around_an_optimizer_of_ours(sam_step: Any) -> None:
    left, right = net(), net()
    ours = SGD(momentum=0.9).bind(left, lr=0.1)
    theirs: Any = pytorch_optimizer.SAM(
        right.parameters(), torch.optim.SGD, rho=0.1, lr=0.1, momentum=0.9
    )
    losses = [float(sam_step(left, ours, loss_of(left), rho=0.1)) for _ in range(20)]
    for _ in range(20):
        loss_of(right)().backward()  # type: ignore[no-untyped-call]  # torch's has no types
        theirs.first_step(zero_grad=True)
        loss_of(right)().backward()  # type: ignore[no-untyped-call]  # torch's has no types
        theirs.second_step(zero_grad=True)

    for a, b in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-9)
    assert losses[-1] < losses[0] / 2


def test_a_second_pass_that_raises_leaves_the_parameters_where_they_were(
    sam_step: Any,
) -> None:
    module = net()
    before = [p.detach().clone() for p in module.parameters()]
    calls: list[int] = []

    def compute() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return loss_of(module)()

    with pytest.raises(RuntimeError, match="out of memory"):
        sam_step(module, AdamW().bind(module, lr=0.1), compute)

    for value, parameter in zip(before, module.parameters(), strict=True):
        assert torch.equal(value, parameter)


@pytest.mark.parametrize("fused", [None, True, False])
def test_ratios_of_updates_are_kept_by_path(
    ratios_class: Any, fused: bool | None
) -> None:
    module = net()
    optimizer = SGD().bind(module, lr=0.5, fused=fused)
    ratios = ratios_class(module, optimizer, only="**.weight")
    loss_of(module)().backward()  # type: ignore[no-untyped-call]  # torch's has no types
    weight, grad = module[2].weight.detach().clone(), module[2].weight.grad.clone()

    optimizer.step()
    ratios.remove()
    optimizer.step()

    (step,) = ratios.history
    assert list(step) == ["0.weight", "2.weight"]
    assert step["2.weight"] == pytest.approx(float(0.5 * grad.norm() / weight.norm()))
