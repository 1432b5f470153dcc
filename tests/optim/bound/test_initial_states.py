"""First states have storage, dtype and values of their own."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    SGD,
    AdamW,
    SimpleOptimizer,
)
from burnish.records import Record

from ..nets import (
    Net,
    distance,
    drive,
    engine_names,
    layers,
    plist,
)


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_first_state_that_is_the_gradient_does_not_alias_it(
    fused: bool | None,
) -> None:
    module, peer = nn.Linear(3, 2), nn.Linear(3, 2)
    peer.load_state_dict(module.state_dict())
    adaptor = SGD(momentum=0.9).bind(module, lr=0.1, fused=fused)
    oracle = torch.optim.SGD(peer.parameters(), lr=0.1, momentum=0.9, foreach=False)
    for parameter in (*module.parameters(), *peer.parameters()):
        parameter.grad = torch.zeros_like(parameter)

    for seed in range(6):
        for net, optimizer in ((module, adaptor), (peer, oracle)):
            # Gradients accumulate in place: an aliased state would change with them.
            optimizer.zero_grad(set_to_none=False)
            torch.manual_seed(seed)
            net(torch.randn(5, 3)).square().sum().backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
            optimizer.step()

    assert distance(module, peer) <= 1e-6


def test_state_dtype_keeps_and_computes_in_it() -> None:
    half, full = Net(torch.bfloat16), Net(torch.float64)
    for a, b in zip(half.parameters(), full.parameters(), strict=True):
        b.data = a.detach().double()
    for fused in (False, None, True):
        adaptor = AdamW().bind(half, lr=1e-3, state_dtype=torch.float32, fused=fused)

        drive(adaptor, half, 1, 2)

        assert adaptor.state[half.a]["exp_avg"].dtype == torch.float32
        assert half.a.dtype == torch.bfloat16


@pytest.mark.parametrize("fused", [None, True])
def test_state_dtype_gives_the_numbers_of_the_loop(fused: bool | None) -> None:
    left, right = Net(torch.bfloat16), Net(torch.bfloat16)
    wide = torch.float32
    engine = AdamW().bind(left, lr=1e-2, state_dtype=wide, fused=fused)
    loop = AdamW().bind(right, lr=1e-2, state_dtype=wide, fused=False)

    drive(engine, left, *range(5))
    drive(loop, right, *range(5))

    assert distance(left, right) <= 2e-2
    assert engine_names(engine) == {"compiled" if fused else "blocks"}


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_state_that_is_no_record_is_refused_at_binding(fused: bool | None) -> None:
    class Dicts(SimpleOptimizer[Any]):
        def init(self, tensor: Tensor) -> Any:
            return {"m": torch.zeros_like(tensor)}

    with pytest.raises(TypeError, match=r"Dicts\.init\(\) returns a dict.*Record"):
        Dicts().bind(layers(), lr=1e-2, fused=fused)


class Norms(Record):
    direction: Tensor


@dataclass(frozen=True, kw_only=True)
class FromValues(SimpleOptimizer[Norms]):
    """An optimizer whose first state follows from the values of the parameter."""

    def init(self, tensor: Tensor) -> Norms:
        array = tensor.numpy()
        norm = float((array**2).sum()) ** 0.5
        if norm == 0.0:
            raise ValueError("no direction")
        return Norms(torch.from_numpy(array / norm))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Norms
    ) -> tuple[Tensor, Norms]:
        return tensor - grad * state.direction * lr, state


def test_a_first_state_may_follow_from_the_values_of_the_parameter() -> None:
    net = plist(torch.full((4,), 2.0))

    optimizer = FromValues().bind(net, lr=1.0)
    net[0].grad = torch.ones(4)
    optimizer.step()

    assert torch.equal(net[0], torch.full((4,), 1.5))
    with pytest.raises(ValueError, match=r"^0: no direction"):
        FromValues().bind(plist(torch.zeros(4)), lr=1.0)
