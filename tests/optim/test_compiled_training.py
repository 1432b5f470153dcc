"""torch.compile over a step, or over all of training, gives the same numbers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from burnish.optim import SGD, AdamW, ClipGlobalNorm, Muon, ScheduleFreeAdamW
from burnish.optim.schedulers import Linear

from .nets import UserAdamW, equal

BOUND: dict[str, Callable[[Any], Any]] = {
    "AdamW": lambda net: AdamW().bind(net, lr=0.01, clip=ClipGlobalNorm(0.1)),
    "a user's": lambda net: UserAdamW().bind(net, lr=Linear(0.1, 0.01, 5)),
    "compiled to C": lambda net: UserAdamW().bind(net, lr=0.01, fused=True),
    "the loop": lambda net: SGD(momentum=0.9).bind(net, lr=0.1, fused=False),
    "Muon": lambda net: Muon().bind(net, lr=0.1),
    "averages": lambda net: ScheduleFreeAdamW().bind(net, lr=0.1),
}


def train(name: str, over: str) -> Any:
    """Train a net for four steps, with torch.compile over nothing, a step, or all."""
    torch.compiler.reset()
    torch.manual_seed(0)
    net = torch.nn.Linear(6, 4, bias=False)
    optim = BOUND[name](net)

    def whole(x: torch.Tensor) -> torch.Tensor:
        optim.zero_grad()
        loss: torch.Tensor = net(x).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
        optim.step()
        return loss

    def compiled(function: Any) -> Any:
        return torch.compile(function, backend="eager")

    if over == "all":
        whole = compiled(whole)
    elif over == "step":
        optim.step = compiled(optim.step)
    for seed in range(4):
        whole(torch.sin(torch.arange(12.0).reshape(2, 6) + seed))
    if name == "averages":
        optim.eval()
    return net


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("over", ["step", "all"])
@pytest.mark.parametrize("name", BOUND)
def test_a_compiled_training_gives_the_numbers_of_a_plain_one(
    name: str, over: str
) -> None:
    assert equal(train(name, over), train(name, "nothing"))
