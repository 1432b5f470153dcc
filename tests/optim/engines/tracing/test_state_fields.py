"""Fields of a state are stepped and stored, private ones too."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from burnish.optim import (
    SimpleOptimizer,
)
from burnish.records import Record

from ...nets import (
    Moments,
    distance,
    drive,
    equal,
    plist,
    set_grads,
)


def test_moments_of_a_user_are_a_record() -> None:
    assert issubclass(Moments, Record)


class Hidden(Record):
    unit: ClassVar[float] = 1.0
    _mean: Tensor
    _count: int = 0


@dataclass(frozen=True, kw_only=True)
class Averaging(SimpleOptimizer[Hidden]):
    """An optimizer whose state has private fields and a class variable."""

    def init(self, tensor: Tensor) -> Hidden:
        return Hidden(torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Hidden
    ) -> tuple[Tensor, Hidden]:
        mean = state._mean * 0.9 + grad * state.unit  # pyright: ignore[reportPrivateUsage]  # the point
        count = state._count + 1  # pyright: ignore[reportPrivateUsage]  # the point
        return tensor - mean * (lr / count), Hidden(mean, count)


@pytest.mark.parametrize("fused", [None, True, False])
def test_private_fields_of_a_state_are_stepped_and_stored_and_class_variables_not(
    fused: bool | None,
) -> None:
    expected = plist(torch.ones(3))
    mean = torch.zeros(3)
    net, again = plist(torch.ones(3)), plist(torch.ones(3))
    saved = b""
    optimizer = Averaging().bind(net, lr=0.1, fused=fused)

    for seed in (1, 2, 3):
        set_grads(expected, seed)
        mean = mean * 0.9 + expected[0].grad
        expected[0].data -= mean * (0.1 / seed)
        drive(optimizer, net, seed)
        resumed = Averaging().bind(again, lr=0.1, fused=fused)
        if saved:
            resumed.load_record(saved)
        drive(resumed, again, seed)
        saved = resumed.save_record()

    assert distance(net, expected) < 1e-6
    assert equal(net, again)
    assert sorted(optimizer.state[net[0]]) == ["_count", "_mean"]
