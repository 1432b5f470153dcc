"""What is stepped together follows from what is there at each step."""

import pytest
import torch

from ..nets import (
    Net,
    UserAdamW,
    distance,
    drive,
)


@pytest.mark.parametrize("fused", [None, True])
def test_moved_and_reallocated_parameters_are_seen_at_the_next_step(
    fused: bool | None,
) -> None:
    left, right = Net(large=False), Net(large=False)
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)

    for seed in range(4):
        for net, optimizer in ((left, engine), (right, loop)):
            for parameter in net.parameters():
                parameter.data = parameter.data.clone()
            drive(optimizer, net, seed)
    left.double()
    right.double()
    drive(engine, left, 9)
    drive(loop, right, 9)

    assert distance(left, right) <= 1e-6
    assert left.a.dtype == torch.float64


@pytest.mark.parametrize("fused", [None, True])
def test_changed_states_are_seen_at_the_next_step(fused: bool | None) -> None:
    left, right = Net(large=False), Net(large=False)
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)
    for net, optimizer in ((left, engine), (right, loop)):
        drive(optimizer, net, 1, 2)
        optimizer.state[net.a]["t"] = 50
        optimizer.state[net.b]["m"] = torch.full((5,), 3.0)
        optimizer.state[net.get_parameter("conv")] = {}

        drive(optimizer, net, 3)

    assert distance(left, right) <= 1e-6
    assert engine.state[left.a]["t"] == 51
