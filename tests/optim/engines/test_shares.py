"""Parameters that are spread over processes are stepped as one process steps them."""

import copy
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from burnish import Record
from burnish.optim import (
    LAMB,
    SGD,
    Adafactor,
    AdamW,
    Lion,
    Muon,
    SimpleOptimizer,
    engine_report,
)
from burnish.records.tensors.torch_internals import storage_address

from ...forked_processes import in_processes, in_two_processes
from ...sharded_nets import (
    assert_same_values,
    backward,
    example,
    fsdp,
    mesh_of,
    needs_sharding,
    plain_net,
    tensor_parallel,
    whole,
)

pytestmark = needs_sharding


class Whitening(Record):
    """A matrix of another shape than the parameter's."""

    gram: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Whitened(SimpleOptimizer[Whitening]):
    """A step of whole matrices, whose author knows nothing of processes."""

    def init(self, tensor: torch.Tensor) -> Whitening:
        rows = tensor.shape[0]
        return Whitening(torch.eye(rows, dtype=tensor.dtype, device=tensor.device))

    def step(
        self, lr: float, tensor: torch.Tensor, grad: torch.Tensor, state: Whitening
    ) -> tuple[torch.Tensor, Whitening]:
        flat = grad.reshape(grad.shape[0], -1)
        gram = torch.addmm(state.gram, flat, flat.mT)
        update = torch.linalg.solve(gram, flat).reshape(grad.shape)
        return tensor - lr * update, Whitening(gram)


@dataclass(frozen=True, kw_only=True)
class Centered(SimpleOptimizer[None]):
    """A step that asks for the shape, which no share has."""

    def step(
        self, lr: float, tensor: torch.Tensor, grad: torch.Tensor, state: None
    ) -> tuple[torch.Tensor, None]:
        return tensor - lr / tensor.shape[0] * grad, None


ENGINES: list[tuple[Any, bool | None, str]] = [
    (AdamW(weight_decay=0.1), None, "torch_fused"),
    (AdamW(weight_decay=0.1), True, "compiled"),
    (AdamW(weight_decay=0.1), False, "loop"),
    (Lion(), None, "blocks"),
    (SGD(momentum=0.9), None, "torch_fused"),
    (LAMB(), None, "loop"),
    (Adafactor(), None, "loop"),
    (Whitened(), None, "gathered"),
    (Whitened(), False, "gathered"),
    (Centered(), None, "gathered"),
]


@pytest.mark.parametrize("shard", [fsdp, tensor_parallel])
@pytest.mark.parametrize(("simple", "fused", "engine"), ENGINES)
def test_a_spread_module_is_stepped_as_a_whole_one(
    simple: Any, fused: bool | None, engine: str, shard: Any, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        net, plain = shard(plain_net()), plain_net()
        ours = simple.bind(net, lr=1e-2, fused=fused)
        theirs = simple.bind(plain, lr=1e-2, fused=fused)
        for _ in range(4):
            for module, optim in ((net, ours), (plain, theirs)):
                backward(module)
                optim.step()
        assert_same_values(net, plain, 3e-7)
        row = engine_report(ours)[0]
        assert row.engine == engine
        assert is_spread_alike(ours, net[0].weight)

    in_two_processes(act, tmp_path)


def is_spread_alike(optim: Any, param: Any) -> bool:
    """Return whether the state is cut as the parameter is, where it has its shape."""
    values: list[Any] = [
        value
        for value in optim.state[param].values()
        if isinstance(value, torch.Tensor) and value.shape == param.shape
    ]
    return all(value.placements == param.placements for value in values)


@pytest.mark.parametrize("simple", [AdamW(), SGD(momentum=0.9), Lion()])
def test_shares_have_the_bits_of_the_whole(simple: Any, tmp_path: Path) -> None:
    def act(rank: int) -> None:
        from torch.distributed.tensor import Shard, distribute_tensor

        torch.manual_seed(0)
        values, grads = torch.randn(9, 40), torch.randn(3, 9, 40)
        mesh = mesh_of()
        share: Any = nn.Parameter(distribute_tensor(values, mesh, [Shard(0)]))
        plain = nn.Parameter(values.clone())
        ours = simple.bind(nn.ParameterList([share]), lr=1e-2)
        theirs = simple.bind(nn.ParameterList([plain]), lr=1e-2)
        for grad in grads:
            share.grad = distribute_tensor(grad, mesh, [Shard(0)])
            plain.grad = grad.clone()
            ours.step()
            theirs.step()

        assert torch.equal(whole(share), plain)

    in_two_processes(act, tmp_path)


def test_muon_on_shares_is_muon_and_torchs_own_is_not(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        results: list[torch.Tensor] = []
        for is_sharded in (True, False):
            torch.manual_seed(0)
            net: Any = nn.Sequential(nn.Linear(6, 6, bias=False))
            net = fsdp(net) if is_sharded else net
            optim = Muon().bind(net, lr=1e-2)
            for _ in range(3):
                backward(net)
                optim.step()
            results.append(whole(net[0].weight))

        assert torch.equal(*results)

    in_two_processes(act, tmp_path)


class WholeMatrices(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch
    """Counts the bytes of plain tensors with at least so many elements that live."""

    def __init__(self, n_elements: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.n_elements = n_elements
        self.bytes = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        from torch.distributed.tensor import DTensor

        if any(issubclass(t, DTensor) for t in types):
            return NotImplemented  # it comes back here with its shares
        result = func(*args, **(kwargs or {}))
        storages = {storage_address(t.untyped_storage()) for t in tensors_in(args)}
        for tensor in tensors_in(result):
            is_view = storage_address(tensor.untyped_storage()) in storages
            if tensor.numel() >= self.n_elements and not is_view:
                self.bytes += tensor.nbytes
                self.peak = max(self.peak, self.bytes)
                weakref.finalize(tensor, self._forget, tensor.nbytes)
        return result

    def _forget(self, nbytes: int) -> None:
        self.bytes -= nbytes


def tensors_in(values: Any) -> list[torch.Tensor]:
    return [v for v in tree_leaves(values) if isinstance(v, torch.Tensor)]


@pytest.mark.parametrize(
    ("simple", "most"),
    [(Muon(), 2.0), (LAMB(), 0.0), (Adafactor(), 0.0), (Whitened(), 7.0)],
)
def test_one_matrix_at_a_time_is_brought_together(
    simple: Any, most: float, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        net: Any = fsdp(
            nn.Sequential(*(nn.Linear(16, 16, bias=False) for _ in range(3)))
        )
        optim = simple.bind(net, lr=1e-2)
        for param in net.parameters():
            param.grad = torch.ones_like(param)
        optim.step()
        with WholeMatrices(16 * 16) as whole_matrices:
            optim.step()

        # Of matrices in float32.
        assert whole_matrices.peak / (16 * 16 * 4) <= most

    in_two_processes(act, tmp_path)


def test_a_grid_of_processes_and_a_mixed_module_are_stepped_alike(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        mesh = mesh_of(2, 2, names=("dp", "tp"))
        net = fsdp(tensor_parallel(plain_net(), mesh["tp"]), mesh["dp"])
        plain = plain_net()
        for simple in (AdamW(), LAMB(), Whitened()):
            ours, theirs = simple.bind(net, lr=1e-2), simple.bind(plain, lr=1e-2)
            for _ in range(2):
                for module, optim in ((net, ours), (plain, theirs)):
                    backward(module)
                    optim.step()
        assert_same_values(net, plain, 1e-6)

    in_processes(act, tmp_path, 4)


def test_the_state_of_one_process_is_taken_by_several_and_steps_on(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        plain = plain_net()
        theirs = AdamW().bind(plain, lr=1e-2)
        for _ in range(3):
            backward(plain)
            theirs.step()
        net: Any = plain_net()
        net.load_state_dict(plain.state_dict())
        fsdp(net)
        ours = AdamW().bind(net, lr=1e-2)

        ours.load_record(theirs.save_record())

        assert is_spread_alike(ours, net[0].weight)
        for module, optim in ((net, ours), (plain, theirs)):
            backward(module)
            optim.step()
        assert_same_values(net, plain, 3e-7)
        assert engine_report(ours)[0].engine == "torch_fused"

    in_two_processes(act, tmp_path)


def test_states_of_one_shape_are_cut_as_their_own_parameters_are(
    tmp_path: Path,
) -> None:
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    def act(rank: int) -> None:
        plain = nn.Sequential(*(nn.Linear(6, 6) for _ in range(3)))
        for param in plain.parameters():
            nn.init.constant_(param, 0.1)
        theirs = AdamW().bind(plain, lr=1e-2)
        backward(plain)
        theirs.step()
        net: Any = copy.deepcopy(plain)
        plan: Any = {"0": ColwiseParallel(), "1": RowwiseParallel()}
        parallelize_module(net, mesh_of(), plan)
        ours = AdamW().bind(net, lr=1e-2)

        ours.load_record(theirs.save_record())

        for param in net.parameters():
            moment = ours.state[param]["exp_avg"]
            assert type(moment) is type(param.data)
            assert getattr(moment, "placements", 0) == getattr(param, "placements", 0)
        for module, optim in ((net, ours), (plain, theirs)):
            backward(module)
            optim.step()
        assert_same_values(net, plain, 3e-7)

    in_two_processes(act, tmp_path)


def test_a_share_that_was_replaced_is_stepped_where_it_is_now(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net, plain = fsdp(plain_net()), plain_net()
        ours, theirs = AdamW().bind(net, lr=1e-2), AdamW().bind(plain, lr=1e-2)
        for _ in range(3):
            for module, optim in ((net, ours), (plain, theirs)):
                backward(module)
                optim.step()
            ours.load_state_dict(ours.state_dict())
        assert_same_values(net, plain, 3e-7)

    in_two_processes(act, tmp_path)


def test_shares_are_rounded_stochastically_and_go_on_to_the_bit(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        nets = [fsdp(plain_net().bfloat16()) for _ in range(2)]
        first, second = (
            AdamW().bind(net, lr=1e-2, rounding="stochastic", seed=1) for net in nets
        )
        step(nets[0], first)
        nets[1].load_state_dict(nets[0].state_dict())
        first.save_record(f"{tmp_path}/optim/")
        second.load_record(f"{tmp_path}/optim/")
        for net, optim in zip(nets, (first, second), strict=True):
            step(net, optim)

        for mine, expected in zip(*(n.parameters() for n in nets), strict=True):
            assert torch.equal(whole(mine), whole(expected))
        assert engine_report(first)[0].engine == "loop"

    def step(net: Any, optim: Any) -> None:
        net.zero_grad()
        net(example().bfloat16()).square().mean().backward()
        optim.step()

    in_two_processes(act, tmp_path)
