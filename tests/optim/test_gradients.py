"""Gradients as values, and gradients that no step can take."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from burnish.core.state.identity import named_params
from burnish.optim import (
    AdamW,
    Gradients,
    GradientsAccumulator,
)

from .nets import distance, drive, engine_names, layers, plist, set_grads


def test_gradients_are_values_that_leave_the_module_alone() -> None:
    net, peer = layers(), layers()
    x = torch.ones(3, 8)
    adaptor = AdamW().bind(net, lr=1e-2)
    theirs = torch.optim.AdamW(peer.parameters(), lr=5e-2, foreach=False)

    grads = Gradients.from_backward(net(x).square().sum(), net)
    same = adaptor.apply_gradients(5e-2, net, grads)
    peer(x).square().sum().backward()
    theirs.step()

    assert same is net
    assert all(p.grad is None for p in net.parameters())
    assert set(grads) == {p.id for p in named_params(net)}
    assert distance(net, peer) <= 1e-6
    assert adaptor.param_groups[0]["lr"] == 1e-2
    assert engine_names(adaptor) == {"torch_fused"}
    with pytest.raises(ValueError, match="a different module"):
        adaptor.apply_gradients(None, peer, grads)
    with pytest.raises(KeyError, match="not the ID or path"):
        adaptor.apply_gradients(None, net, {"unknown": torch.ones(2)})


def test_gradients_of_a_module_are_those_that_its_parameters_have() -> None:
    net = plist(torch.ones(2), torch.ones(3), torch.ones(4))
    net[2].requires_grad_(False)
    net[0].sum().backward()

    grads = Gradients.from_module(net)

    ids = {p.path: p.id for p in named_params(net)}
    assert set(grads) == {ids["0"]}
    # No copy: zero_grad(set_to_none=False) and a clip in place are seen.
    assert grads[ids["0"]] is net[0].grad


def test_a_step_with_the_gradients_of_a_module_is_the_step_of_its_optimizer() -> None:
    net, peer = layers(), layers()
    x = torch.ones(3, 8)
    for module in (net, peer):
        module(x).square().sum().backward()

    AdamW().bind(net, lr=1e-2).apply_gradients(None, net, Gradients.from_module(net))
    AdamW().bind(peer, lr=1e-2).step()

    assert distance(net, peer) == 0


def test_accumulated_gradients_are_sums_and_begin_anew() -> None:
    net: Any = nn.Linear(20, 20)
    accumulator = GradientsAccumulator()
    for scale in (1.0, 2.0):
        x = torch.full((1, 20), scale)
        accumulator.accumulate(Gradients.from_backward(net(x).sum(), net))

    sums = accumulator.grads()

    assert len(sums) == 2
    weight = next(p for p in named_params(net) if p.path == "weight")
    assert torch.equal(sums[weight.id], torch.full((20, 20), 3.0))
    assert len(accumulator.grads()) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_sums_lose_no_batch(dtype: torch.dtype) -> None:
    accumulator = GradientsAccumulator()
    for _ in range(600):
        accumulator.accumulate({"a": torch.full((2,), 8.0, dtype=dtype)})

    sums = accumulator.grads()["a"]

    # Added one by one in bfloat16 they would stay at 2048.
    assert torch.equal(sums, torch.full((2,), 4800.0).to(dtype))
    assert sums.dtype == dtype


def test_a_batch_of_another_shape_changes_no_sum() -> None:
    accumulator = GradientsAccumulator()
    accumulator.accumulate({"a": torch.ones(2), "b": torch.ones(1)})

    # A sum would be of the shape that both broadcast to.
    with pytest.raises(ValueError, match=r"^b: .*\(3,\).*\(1,\)"):
        accumulator.accumulate({"a": torch.ones(2), "b": torch.ones(3)})

    sums = accumulator.grads()
    assert torch.equal(sums["a"], torch.ones(2))
    assert torch.equal(sums["b"], torch.ones(1))


def test_two_gradients_of_one_parameter_are_refused_and_none_is_lost() -> None:
    net = plist(torch.ones(3))
    param = next(iter(named_params(net)))
    grads = {param.id: torch.ones(3), param.path: torch.ones(3)}

    with pytest.raises(ValueError, match=r"^0 has two gradients, one under its ID"):
        AdamW().bind(net, lr=0.1).apply_gradients(None, net, grads)

    assert torch.equal(net[0], torch.ones(3))


@pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf")])
def test_a_rate_that_is_none_steps_nothing(lr: float) -> None:
    net = plist(torch.ones(3))

    with pytest.raises(ValueError, match="lr must be at least 0"):
        AdamW().bind(net, lr=0.1).apply_gradients(lr, net, {"0": torch.ones(3)})

    assert torch.equal(net[0], torch.ones(3))


@pytest.mark.parametrize("fused", [None, True, False])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (8, 1), (), (4, 8)])
def test_gradients_of_another_shape_are_refused_by_path_and_nothing_is_stepped(
    fused: bool | None, shape: tuple[int, ...]
) -> None:
    net = plist(torch.ones(8, 4))
    optimizer = AdamW().bind(net, lr=0.1, fused=fused)
    drive(optimizer, net, 1)
    before = net[0].detach().clone()

    with pytest.raises(ValueError, match=rf"^0: .*{re.escape(str(shape))}.*\(8, 4\)"):
        optimizer.apply_gradients(0.1, net, {"0": torch.ones(shape)})

    assert torch.equal(net[0], before)


def test_gradients_that_are_no_tensors_are_refused_by_path() -> None:
    net = plist(torch.ones(3))
    grads: Any = {"0": [1.0, 2.0, 3.0]}

    with pytest.raises(TypeError, match=r"^0: found a list as its gradient.*a tensor"):
        AdamW().bind(net, lr=0.1).apply_gradients(0.1, net, grads)


def test_a_gradient_given_another_shape_behind_autograd_is_refused_by_path() -> None:
    net = plist(torch.ones(8, 4))
    optimizer = AdamW().bind(net, lr=0.1)
    set_grads(net, 1)
    net[0].grad.data = torch.ones(4)

    with pytest.raises(ValueError, match=r"shape \(4,\).*\(8, 4\)") as caught:
        optimizer.step()

    assert "for 0; nothing was changed" in caught.value.__notes__[0]
    assert torch.equal(net[0], torch.ones(8, 4))
