"""Gradients that are spread over processes are clipped and looked at as whole ones."""

from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.optim import (
    SGD,
    ClipGlobalNorm,
    ClipNorm,
    Group,
    NonFiniteGradientError,
)
from burnish.optim.norms import norms

from ..forked_processes import in_two_processes
from ..sharded_nets import (
    assert_same_values,
    backward,
    fsdp,
    mesh_of,
    needs_sharding,
    plain_net,
    tensor_parallel,
    whole_values,
)

pytestmark = needs_sharding


@pytest.mark.parametrize("clip", [ClipNorm(1e-3), ClipGlobalNorm(1e-2)])
@pytest.mark.parametrize("shard", [fsdp, tensor_parallel])
def test_clipping_of_shares_takes_the_norm_of_whole_gradients(
    clip: Any, shard: Any, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        net, plain = shard(plain_net()), plain_net()
        for module in (net, plain):
            # SGD, since AdamW would hide a wrong factor.
            optim = SGD().bind(module, lr=1.0, clip=clip)
            for _ in range(3):
                backward(module)
                optim.step()
        assert_same_values(net, plain, 1e-6)

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 1.0, "clip": ClipNorm(1e-3)},
        {"lr": 1.0, "clip": ClipGlobalNorm(1e-2)},
        {"lr": 1.0, "nonfinite": "skip"},
        {"lr": 0.0},
    ],
)
def test_a_share_without_a_gradient_counts_as_zeros(
    options: Any, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        net: Any = fsdp(plain_net())
        plain: Any = plain_net()
        for module in (net, plain):
            optim = SGD().bind(module, **options)
            backward(module)
            for param in module.parameters():
                if module is plain:
                    # What the second process has of it: FSDP cuts rows.
                    param.grad[(len(param) + 1) // 2 :] = 0
                elif rank == 1:
                    param.grad = None
            optim.step()
        assert_same_values(net, plain, 1e-6)

    in_two_processes(act, tmp_path)


def test_clips_of_groups_take_plain_and_spread_gradients_of_several_meshes(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        net, plain = plain_net(), plain_net()
        fsdp(net[0], mesh_of())
        fsdp(net[2], mesh_of(1, 2, names=("replicas", "shares"))["shares"])
        for module in (net, plain):
            groups = [Group("*.bias", clip=ClipNorm(1e-3))]
            optim = SGD().bind(module, lr=1.0, clip=ClipGlobalNorm(1e-2), groups=groups)
            backward(module)
            optim.step()
        assert_same_values(net, plain, 1e-6)

    in_two_processes(act, tmp_path)


def test_norms_of_summands_are_those_of_the_sum(tmp_path: Path) -> None:
    from torch.distributed.tensor import DTensor, Partial, Replicate

    def act(rank: int) -> None:
        mesh = mesh_of()
        summands = DTensor.from_local(torch.tensor([3.0, rank]), mesh, [Partial()])
        copies = DTensor.from_local(torch.tensor([3.0, 4.0]), mesh, [Replicate()])
        plain = torch.tensor([[3.0, 4.0]])
        half = DTensor.from_local(torch.ones(2).half(), mesh, [Replicate()])
        long = DTensor.from_local(torch.tensor([3e30, 4e30]), mesh, [Replicate()])

        lengths = norms([plain, summands, copies, half, long])

        assert lengths == pytest.approx([5.0, 37**0.5, 5.0, 2**0.5, 5e30])

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize("shard", [fsdp, tensor_parallel])
def test_a_nan_in_one_share_is_skipped_by_all(shard: Any, tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net = shard(plain_net())
        optim = SGD(momentum=0.9).bind(net, lr=1.0, nonfinite="skip")
        before = whole_values(net)
        backward(net)
        spoil(net, rank)

        optim.step()

        after = whole_values(net)
        assert all(torch.equal(before[name], after[name]) for name in before)
        backward(net)
        optim.step()
        assert not torch.equal(before["0.weight"], whole_values(net)["0.weight"])

    in_two_processes(act, tmp_path)


def test_a_nan_in_one_share_is_the_same_error_on_all(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net = fsdp(plain_net())
        optim = SGD().bind(net, lr=1.0, nonfinite="error")
        backward(net)
        spoil(net, rank)

        with pytest.raises(NonFiniteGradientError) as info:
            optim.step()

        assert info.value.paths == ["0.weight"]

    in_two_processes(act, tmp_path)


def spoil(net: Any, rank: int) -> None:
    """Put a NaN into what process 1 has of a gradient."""
    if rank == 1:
        net[0].weight.grad.to_local()[0, 0] = float("nan")


def test_the_first_step_of_dcp_is_one_on_all_where_one_share_is_zero(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        net = fsdp(plain_net())
        optim = SGD(momentum=0.9).bind(net, lr=0.0)
        for param in net.parameters():
            param.grad = torch.zeros_like(param)
        if rank == 1:
            net[0].weight.grad.to_local()[0, 0] = 1.0

        optim.step()

        assert float(optim.state[net[0].weight]["momentum_buffer"].sum().full_tensor())

    in_two_processes(act, tmp_path)
