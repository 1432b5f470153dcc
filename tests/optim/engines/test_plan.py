"""What is stepped together follows from what is there at each step."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import LAMB, Adam, Lion, OptimizerAdaptor

from ..nets import (
    Net,
    UserAdamW,
    distance,
    drive,
    engine_names,
    equal,
    layers,
    set_grads,
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


def test_a_gradient_that_was_the_parameter_says_nothing_of_the_next() -> None:
    net = layers(torch.bfloat16)
    optim = Adam().bind(net, lr=1e-2)
    set_grads(net, 1)
    net[0].weight.grad = net[0].weight.detach()
    optim.step()

    copied_net, copied = copy.deepcopy((net, optim))
    for n, o in ((net, optim), (copied_net, copied)):
        drive(o, n, 2, 3, 4)

    assert engine_names(optim) == engine_names(copied) != {"loop"}
    assert equal(net, copied_net)


def test_states_follow_to_another_memory_format_on_every_engine() -> None:
    net = nn.Conv2d(4, 3, 3)
    optim = LAMB().bind(net, lr=1e-2)
    drive(optim, net, 1)

    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's hints lack it
    drive(optim, net, 2)

    assert engine_names(optim) == {"loop"}
    strides = {optim.state[net.weight][name].stride() for name in MOMENTS}
    assert strides == {net.weight.stride()}


MOMENTS = ("exp_avg", "exp_avg_sq")


def forget(net: Net, optim: OptimizerAdaptor) -> None:
    del optim.state[net.b]


def replace(net: Net, optim: OptimizerAdaptor) -> None:
    net.a = nn.Parameter(net.a.detach().clone())


@pytest.mark.filterwarnings("ignore:a was replaced")
@pytest.mark.parametrize("change", [forget, replace])
def test_states_lie_as_in_a_run_that_goes_on_from_a_file(change: Any) -> None:
    net = Net(torch.bfloat16)
    optim = Lion().bind(net, lr=1e-2)
    set_grads(net, 1)
    net.b.grad = None
    optim.step()
    drive(optim, net, *([2] if change is forget else []))
    change(net, optim)
    drive(optim, net, 3)

    copied_net, copied = copy.deepcopy((net, optim))
    for n, o in ((net, optim), (copied_net, copied)):
        drive(o, n, *range(4, 12))

    assert equal(net, copied_net)
    states = zip(optim.state.values(), copied.state.values(), strict=True)
    assert all(torch.equal(a["exp_avg"], b["exp_avg"]) for a, b in states)
