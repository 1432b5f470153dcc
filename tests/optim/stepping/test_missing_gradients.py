"""A gradient that only some processes have is an error on all, and never a wait."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import LAMB, Adafactor, AdamW, MissingGradientError, Muon

from ...forked_processes import in_processes, in_two_processes
from ...sharded_nets import fsdp, mesh_of, needs_sharding, tensor_parallel, whole
from ..engines.test_shares import Whitened

pytestmark = needs_sharding


def square_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(3)))


@pytest.mark.parametrize("simple", [LAMB(), Adafactor(), Muon(), Whitened()])
@pytest.mark.parametrize("n_lacking", [1, 3])
@pytest.mark.parametrize("has_stepped", [False, True])
def test_a_gradient_that_one_process_lacks_is_an_error_on_all_of_them(
    simple: Any, n_lacking: int, has_stepped: bool, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        net: Any = fsdp(square_net())
        optim = simple.bind(net, lr=1e-2)
        params = [*net.parameters()]
        for param in params:
            param.grad = torch.ones_like(param)
        if has_stepped:
            optim.step()
        before = whole(net[2].weight)
        if rank == 1:
            for param in params[3 - n_lacking :]:
                param.grad = None

        with pytest.raises(MissingGradientError) as caught:
            optim.step()

        assert caught.value.paths == [f"{i}.weight" for i in range(3 - n_lacking, 3)]
        assert torch.equal(whole(net[2].weight), before)

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize("simple", [LAMB(), Whitened()])
def test_a_gradient_that_all_processes_lack_is_left_out(
    simple: Any, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        net: Any = fsdp(square_net())
        optim = simple.bind(net, lr=1e-2)
        before = [whole(layer.weight) for layer in net]
        for layer in net[:2]:
            layer.weight.grad = torch.ones_like(layer.weight)

        optim.step()

        after = [whole(layer.weight) for layer in net]
        assert [*map(torch.equal, before, after)] == [False, False, True]

    in_two_processes(act, tmp_path)


def test_an_elementwise_step_leaves_a_share_without_gradient(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net: Any = fsdp(square_net())
        optim = AdamW().bind(net, lr=1e-2)
        before = whole(net[0].weight)
        for param in net.parameters():
            param.grad = None if rank else torch.ones_like(param)

        optim.step()

        is_moved = whole(net[0].weight) != before
        assert is_moved[:2].all()
        assert not is_moved[2:].any()

    in_two_processes(act, tmp_path)


def test_on_a_grid_of_processes_all_of_them_raise(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        mesh = mesh_of(2, 2, names=("dp", "tp"))
        net: Any = fsdp(tensor_parallel(square_net(), mesh["tp"]), mesh["dp"])
        optim = LAMB().bind(net, lr=1e-2)
        for i, param in enumerate(net.parameters()):
            is_lacking = rank == 3 and i == 2
            param.grad = None if is_lacking else torch.ones_like(param)

        with pytest.raises(MissingGradientError):
            optim.step()

    in_processes(act, tmp_path, 4)


def test_the_error_names_parameters_and_pickles() -> None:
    error = MissingGradientError(["experts.0.weight"])

    assert "gradients of experts.0.weight" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
