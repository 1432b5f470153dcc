"""Clipping makes steps smaller and leaves the gradients as they are."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import (
    SGD,
    AdamW,
    ClipGlobalNorm,
    ClipNorm,
    ClipValue,
    Group,
)

from .nets import (
    distance,
    drive,
    engine_names,
    equal,
    layers,
    plist,
    set_grads,
    tree,
)


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


@pytest.mark.parametrize("clip", [ClipNorm(1.0), ClipGlobalNorm(1.0)])
@pytest.mark.parametrize("fused", [None, False])
def test_a_norm_that_is_no_number_lets_nothing_through(
    clip: Any, fused: bool | None
) -> None:
    module = plist(torch.ones(2))
    adaptor = SGD().bind(module, lr=0.1, clip=clip, fused=fused)

    module[0].grad = torch.tensor([float("nan"), 1e6])
    adaptor.step()

    assert bool(module[0].isnan().all())


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_clip_may_be_set_exchanged_and_taken_away_between_steps(
    fused: bool | None,
) -> None:
    clips = [None, ClipGlobalNorm(0.5), ClipNorm(0.2), ClipValue(0.1), None]
    net, slow = layers(), layers()
    optim = AdamW().bind(net, lr=1e-2, fused=fused)
    reference = AdamW().bind(slow, lr=1e-2, fused=False)

    for seed, clip in enumerate(clips):
        optim.clip = reference.clip = clip
        drive(optim, net, seed)
        drive(reference, slow, seed)

    assert distance(net, slow) <= 2e-6


@pytest.mark.parametrize("clip", [None, ClipNorm(0.5)])
def test_a_clip_of_before_does_not_choose_the_engine_of_now(
    clip: ClipNorm | None,
) -> None:
    net = layers()
    optim = AdamW().bind(net, lr=1e-2, clip=ClipGlobalNorm(0.5))
    drive(optim, net, 1)
    optim.clip = clip

    drive(optim, net, 2)
    copied_net, copied = copy.deepcopy((net, optim))
    drive(copied, copied_net, 3)
    drive(optim, net, 3)

    assert engine_names(optim) == engine_names(copied)
    assert equal(net, copied_net)


@pytest.mark.parametrize("clip", [ClipNorm(1.0), ClipGlobalNorm(1.0)])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        # Norms that float16 does not hold, and squares that the dtype does not.
        (torch.float16, 300.0),
        (torch.float16, 60_000.0),
        (torch.bfloat16, 1e30),
        (torch.float32, 1e30),
        (torch.complex64, 1e30),
        (torch.float64, 1e200),
    ],
)
def test_finite_gradients_are_clipped_however_long_they_are_together(
    clip: Any, dtype: torch.dtype, value: float
) -> None:
    net = plist(torch.zeros(250, 200, dtype=dtype))
    net[0].grad = torch.full_like(net[0], value)

    SGD().bind(net, lr=1.0, clip=clip).step()

    length = torch.linalg.vector_norm(net[0].detach().to(torch.complex128))
    assert float(length) == pytest.approx(1.0, rel=4e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_global_norm_gives_masters_the_numbers_of_a_float32_parameter(
    dtype: torch.dtype,
) -> None:
    half, full = plist(torch.zeros(50, dtype=dtype)), plist(torch.zeros(50))
    clip = ClipGlobalNorm(0.5)
    options: Any = {"lr": 1.0, "clip": clip, "fused": False}
    ours = SGD().bind(half, master_dtype=torch.float32, **options)
    half[0].grad = torch.linspace(-1, 2, 50).to(dtype)
    full[0].grad = half[0].grad.float()

    ours.step()
    SGD().bind(full, **options).step()

    assert torch.equal(ours.state[half[0]]["master"], full[0])
