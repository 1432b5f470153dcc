"""Groups, clipping and gradients as values."""

import copy
import pickle
import re
from typing import Any

import pytest
import torch
from torch import nn

from burnish.core.state.identity import named_params
from burnish.optim import (
    NORMS,
    SGD,
    AdamW,
    ClipGlobalNorm,
    ClipNorm,
    ClipValue,
    Gradients,
    GradientsAccumulator,
    Group,
    Lion,
)

from .nets import distance, drive, engine_names, layers, plist, set_grads, tree


def placed(adaptor: Any) -> dict[str, int]:
    return {
        adaptor._bound.params.path_of(p): i
        for i, group in enumerate(adaptor.param_groups)
        for p in group["params"]
    }


def test_every_parameter_is_in_the_last_group_that_matches_it() -> None:
    groups = [
        Group("**.bias", weight_decay=0.0),
        Group(type=NORMS, weight_decay=0.5),
        Group("2.**", optimizer=Lion(), lr=0.02),
        Group(lambda param: param.tensor.shape[0] == 4, lr=0.03),
    ]

    adaptor = AdamW().bind(layers(), lr=1e-3, groups=groups)

    assert placed(adaptor) == {
        "0.weight": 0,
        "0.bias": 1,
        "1.weight": 2,
        "1.bias": 2,
        "2.weight": 3,
        "2.bias": 3,
    }
    assert [g["lr"] for g in adaptor.param_groups] == [1e-3, 1e-3, 1e-3, 0.03]
    assert [g["kind"] for g in adaptor.param_groups] == ["AdamW"] * 4
    assert [g["weight_decay"] for g in adaptor.param_groups] == [0.01, 0.0, 0.5, 0.01]


def test_tied_parameters_are_stepped_once_and_stay_tied() -> None:
    net = tree(a=nn.Linear(3, 3, bias=False), b=nn.Linear(3, 3, bias=False))
    net["b"].weight = net["a"].weight
    before = net["a"].weight.detach().clone()
    adaptor = SGD().bind(net, lr=1.0)
    net["a"].weight.grad = torch.ones(3, 3)

    adaptor.step()

    assert net["b"].weight is net["a"].weight
    assert torch.equal(net["a"].weight, before - 1.0)


@pytest.mark.parametrize("fused", [False, None, True])
def test_the_global_norm_is_clipped_as_torch_does(fused: bool | None) -> None:
    left, right = layers(), layers()
    ours = AdamW().bind(left, lr=1e-2, clip=ClipGlobalNorm(0.5), fused=fused)
    theirs = torch.optim.AdamW(right.parameters(), lr=1e-2, foreach=False)

    for seed in range(4):
        drive(ours, left, seed)
        set_grads(right, seed)
        nn.utils.clip_grad_norm_(right.parameters(), 0.5)
        theirs.step()

    assert distance(left, right) <= 2e-6


@pytest.mark.parametrize("fused", [False, None, True])
def test_clipping_leaves_the_gradients_and_zero_stays_zero(fused: bool | None) -> None:
    for clip in (ClipValue(0.1), ClipNorm(1.0), ClipGlobalNorm(1.0)):
        net = plist(torch.zeros(2), torch.zeros(2))
        net[0].grad, net[1].grad = torch.tensor([3.0, 4.0]), torch.zeros(2)

        SGD().bind(net, lr=1.0, clip=clip, fused=fused).step()

        assert torch.equal(net[0].grad, torch.tensor([3.0, 4.0]))
        assert torch.equal(net[1], torch.zeros(2))
        assert net[0].norm() <= 1.0 + 1e-6


def test_a_group_may_clip_by_itself() -> None:
    net = tree(a=nn.Linear(2, 2, bias=False), b=nn.Linear(2, 2, bias=False))
    adaptor = SGD().bind(net, lr=1.0, groups=[Group("a.**", clip=ClipValue(0.01))])
    before = [p.detach().clone() for p in net.parameters()]
    for parameter in net.parameters():
        parameter.grad = torch.ones(2, 2)

    adaptor.step()

    moved = [
        (a - p).max().item() for a, p in zip(before, net.parameters(), strict=True)
    ]
    assert moved == pytest.approx([0.01, 1.0])


def test_clips_of_one_kind_over_all_groups_take_one_norm() -> None:
    net = layers()
    adaptor = AdamW().bind(
        net,
        lr=1e-2,
        clip=ClipGlobalNorm(0.1),
        groups=[Group("**.bias", weight_decay=0.0)],
    )
    peer = layers()
    groups: Any = [
        {"params": [p for n, p in peer.named_parameters() if "weight" in n]},
        {
            "params": [p for n, p in peer.named_parameters() if "bias" in n],
            "weight_decay": 0.0,
        },
    ]
    theirs = torch.optim.AdamW(groups, lr=1e-2, foreach=False)

    drive(adaptor, net, 1)
    set_grads(peer, 1)
    nn.utils.clip_grad_norm_(peer.parameters(), 0.1)
    theirs.step()

    assert distance(net, peer) <= 2e-6


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
    with pytest.raises(ValueError, match="another module"):
        adaptor.apply_gradients(None, peer, grads)
    with pytest.raises(KeyError, match="no ID or path"):
        adaptor.apply_gradients(None, net, {"unknown": torch.ones(2)})


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


@pytest.mark.parametrize("clip", [ClipNorm(0.1), ClipValue(0.01), ClipGlobalNorm(0.1)])
@pytest.mark.parametrize("fused", [True, None])
def test_clipped_gradients_live_until_every_group_is_stepped(
    fused: bool | None, clip: Any
) -> None:
    groups = [Group("0.**", lr=0.1), Group("1.**", lr=0.2), Group("2.weight", lr=0.3)]
    nets = [layers(), layers()]
    engines = (fused, False)
    for net, engine in zip(nets, engines, strict=True):
        optimizer = AdamW().bind(net, lr=0.1, groups=groups, clip=clip, fused=engine)
        drive(optimizer, net, 1, 2, 3)

    assert distance(*nets) < 1e-5


@pytest.mark.parametrize("fused", [None, True, False])
def test_groups_that_share_memory_are_stepped_one_after_the_other(
    fused: bool | None,
) -> None:
    memory = [torch.linspace(-1, 1, 6) for _ in range(2)]
    nets = [plist(m[:4], m[2:], torch.ones(3)) for m in memory]
    ours = AdamW().bind(
        nets[0], lr=0.1, groups=[Group("{1,2}", weight_decay=0.5)], fused=fused
    )
    first, *others = nets[1]
    groups: list[dict[str, Any]] = [
        {"params": [first]},
        {"params": others, "weight_decay": 0.5},
    ]
    theirs = torch.optim.AdamW(groups, lr=0.1)

    drive(ours, nets[0], 1, 2)
    drive(theirs, nets[1], 1, 2)

    assert distance(*nets) < 1e-6


@pytest.mark.parametrize("fused", [None, True, False])
def test_a_gradient_that_is_a_parameter_of_another_group_is_read_in_its_turn(
    fused: bool | None,
) -> None:
    net = plist(torch.ones(4), torch.ones(4))
    optimizer = SGD().bind(
        net, lr=0.5, groups=[Group("1", weight_decay=0.0)], fused=fused
    )
    net[0].grad, net[1].grad = torch.ones(4), net[0].data

    optimizer.step()

    assert torch.equal(net[0], torch.full((4,), 0.5))
    assert torch.equal(net[1], torch.full((4,), 0.75))


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


def test_a_copy_of_module_and_optimizer_belongs_together_as_they_did() -> None:
    net = layers()
    optimizer = AdamW().bind(net, lr=0.1)
    drive(optimizer, net, 1)

    for other, copied in (
        copy.deepcopy((net, optimizer)),
        pickle.loads(pickle.dumps((net, optimizer))),
    ):
        grads = Gradients.from_backward(other(torch.ones(1, 8)).sum(), other)
        assert copied.apply_gradients(0.1, other, grads) is other
        with pytest.raises(ValueError, match="bound to another module"):
            copied.apply_gradients(0.1, net, grads)
        other[2] = torch.nn.Linear(16, 4)
        before = other[2].weight.detach().clone()
        with pytest.warns(RuntimeWarning, match=r"2\.weight, 2\.bias was replaced"):
            drive(copied, other, 2)
        assert not torch.equal(other[2].weight, before)
