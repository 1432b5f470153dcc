"""The state of an optimizer in a folder goes on in any number of processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import AdamW, Lion, OptimizerAdaptor
from burnish.records import RecordError

from ...forked_processes import in_processes
from ...sharded_nets import (
    backward,
    example,
    fsdp,
    needs_sharding,
    plain_net,
    tensor_parallel,
    whole,
    whole_values,
)

pytestmark = needs_sharding

Spread = Callable[[Any], Any]


def as_it_is(net: Any) -> Any:
    return net


def bound_to(net: nn.Module) -> OptimizerAdaptor:
    return AdamW(weight_decay=0.01).bind(net, lr=1e-2)


def train(net: Any, optim: OptimizerAdaptor, n_steps: int) -> None:
    for _ in range(n_steps):
        backward(net)
        optim.step()


def save(folder: Path, n: int, spread: Spread) -> None:
    """Save after three steps; the values of the next one stand beside it."""

    def act(rank: int) -> None:
        net = spread(plain_net())
        optim = bound_to(net)
        train(net, optim, 3)
        burnish.save_record(net, f"{folder}/net/")
        optim.save_record(f"{folder}/optim/")
        train(net, optim, 1)
        values = whole_values(net)
        if rank == 0:
            torch.save(values, folder / "next.pt")

    in_processes(act, folder / "processes", n)


def go_on(folder: Path, net: Any) -> float:
    """Return how far the next step is from that of those who saved."""
    burnish.load_record(net, folder / "net")
    optim = bound_to(net)
    report = optim.load_record(folder / "optim")
    assert not report.missing
    train(net, optim, 1)
    expected = torch.load(folder / "next.pt")
    values = whole_values(net)
    return max(float((values[n] - expected[n]).abs().max()) for n in expected)


@pytest.mark.parametrize(
    ("n", "spread", "n_later", "later", "tolerance"),
    [
        (2, fsdp, 2, fsdp, 0.0),
        (2, tensor_parallel, 2, tensor_parallel, 0.0),
        (2, fsdp, 3, fsdp, 1e-6),
        (2, fsdp, 2, tensor_parallel, 1e-6),
        (1, as_it_is, 2, fsdp, 1e-6),
    ],
)
def test_the_next_step_is_the_one_that_would_have_come(
    n: int,
    spread: Spread,
    n_later: int,
    later: Spread,
    tolerance: float,
    tmp_path: Path,
) -> None:
    save(tmp_path, n, spread)

    def act(rank: int) -> None:
        assert go_on(tmp_path, later(plain_net())) <= tolerance

    in_processes(act, tmp_path / "after", n_later)


def test_one_process_goes_on_alone(tmp_path: Path) -> None:
    save(tmp_path, 2, fsdp)

    assert go_on(tmp_path, plain_net()) <= 1e-6


def test_states_that_are_loaded_are_spread_as_their_parameters(tmp_path: Path) -> None:
    save(tmp_path, 2, fsdp)

    def act(rank: int) -> None:
        net: Any = fsdp(plain_net())
        optim = bound_to(net)
        # Its IDs are others until the module is loaded: paths tell whose they are.
        optim.load_record(tmp_path / "optim")

        for param in net.parameters():
            moment = optim.state[param]["exp_avg"]
            assert moment.placements == param.placements
            assert moment.to_local().shape == param.to_local().shape

    in_processes(act, tmp_path / "after", 2)


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_damaged_state_on_one_process_leaves_all_as_they_were(
    damaged: int, tmp_path: Path
) -> None:
    save(tmp_path, 2, fsdp)
    part = sorted((tmp_path / "optim").glob("part-*"))[damaged]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 64
    part.write_bytes(data)

    def act(rank: int) -> None:
        net = fsdp(plain_net())
        optim = bound_to(net)
        with pytest.raises(RecordError):
            optim.load_record(tmp_path / "optim")

        assert not optim.state

    in_processes(act, tmp_path / "after", 2)


def test_another_optimizer_on_one_process_is_refused_by_all(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net = plain_net()
        simple = Lion() if rank else AdamW()
        optim = simple.bind(net, lr=1e-2)
        net(example()).sum().backward()
        optim.step()
        with pytest.raises(RecordError, match="hold different records"):
            optim.save_record(f"{tmp_path}/optim/")

    in_processes(act, tmp_path / "processes", 2)

    assert not [*tmp_path.glob("optim/*")]


def test_the_whole_state_is_read_by_one_process(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net: Any = fsdp(plain_net())
        optim = bound_to(net)
        train(net, optim, 1)
        optim.save_record(f"{tmp_path}/optim/")
        moment = whole(optim.state[net[0].weight]["exp_avg"])
        ids = {p.path: p.id for p in burnish.named_params(net)}
        record = burnish.open_record(tmp_path / "optim")
        stored = record[f"states.{ids['0.weight']}.values.exp_avg"]
        assert torch.equal(stored, moment)

    in_processes(act, tmp_path / "processes", 2)
