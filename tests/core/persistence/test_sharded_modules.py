"""Modules that are spread over processes are loaded on all of them, or on none."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish import Record
from burnish.optim import AdamW
from burnish.records import RecordError, RecordMismatchError
from burnish.records.tensors.memory import Ties

from ...forked_processes import in_two_processes
from ...sharded_nets import (
    backward,
    fsdp,
    mesh_of,
    needs_sharding,
    plain_net,
    tensor_parallel,
    whole_values,
)

pytestmark = needs_sharding


def damaged(file: Path) -> Path:
    """Return a copy of a record in which one bit is another."""
    data = bytearray(file.read_bytes())
    data[-120] ^= 64
    copy = file.with_name("damaged.mpk")
    copy.write_bytes(data)
    return copy


@pytest.fixture
def record(tmp_path: Path) -> Path:
    net = plain_net()
    with torch.no_grad():
        for param in net.parameters():
            param.mul_(2)
    file = tmp_path / "net.mpk"
    burnish.save_record(net, file)
    return file


@pytest.mark.parametrize("shard", [fsdp, tensor_parallel])
def test_each_process_takes_its_share_of_a_file(
    shard: Any, record: Path, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        net = shard(plain_net())
        burnish.load_record(net, record)

        stored = burnish.open_record(record)
        for name, values in whole_values(net).items():
            assert torch.equal(values, stored[name]), name

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_load_that_fails_on_one_process_leaves_all_as_they_were(
    failing: int, record: Path, tmp_path: Path
) -> None:
    other = damaged(record)
    burnish.save_record(plain_net(width=5), tmp_path / "other.mpk")
    wrong: list[tuple[Path, type[Exception]]] = [
        (other, RecordError),
        (tmp_path / "other.mpk", RecordMismatchError),
        (tmp_path / "missing.mpk", FileNotFoundError),
    ]

    def act(rank: int) -> None:
        net = fsdp(plain_net())
        before = whole_values(net)
        for file, error in wrong:
            with pytest.raises(error) as info:
                burnish.load_record(net, file if rank == failing else record)

            notes = getattr(info.value, "__notes__", [])
            assert (rank == failing) != any("on process" in note for note in notes)
            after = whole_values(net)
            assert all(torch.equal(before[name], after[name]) for name in before)
        burnish.load_record(net, record)
        assert torch.equal(whole_values(net)["0.bias"], before["0.bias"] * 2)

    in_two_processes(act, tmp_path)


def test_no_process_has_a_module_that_another_one_could_not_build(
    record: Path, tmp_path: Path
) -> None:
    other = damaged(record)

    def act(rank: int) -> None:
        with pytest.raises(RecordError, match="damage"):
            burnish.from_record(
                lambda: fsdp(plain_net()), other if rank == 1 else record
            )

    in_two_processes(act, tmp_path)


def test_a_state_that_fails_on_one_process_leaves_all_optimizers_as_they_were(
    tmp_path: Path,
) -> None:
    plain = plain_net()
    optim = AdamW().bind(plain, lr=1e-2)
    backward(plain)
    optim.step()
    file = tmp_path / "optim.mpk"
    optim.save_record(file)
    other = damaged(file)

    def act(rank: int) -> None:
        net: Any = fsdp(plain_net())
        ours = AdamW().bind(net, lr=1e-2)
        with pytest.raises(RecordError, match="damage"):
            ours.load_record(other if rank == 1 else file)

        assert not ours.state
        ours.load_record(file)
        assert ours.state[net[0].weight]["step"] == 1

    in_two_processes(act, tmp_path)


def test_shares_of_different_tensors_are_never_tied(tmp_path: Path) -> None:
    class State(Record):
        first: torch.Tensor
        second: torch.Tensor
        same: torch.Tensor

    def act(rank: int) -> None:
        from torch.distributed.tensor import Shard, distribute_tensor

        mesh = mesh_of()
        # DTensors lie at 0, all of them, and of one row a process has nothing.
        ones, twos = torch.ones(1, 3), torch.full((1, 3), 2.0)
        a, b = (distribute_tensor(t, mesh, [Shard(0)]) for t in (ones, twos))
        ties: Ties[str] = Ties()
        ties.add(a, "a")
        assert ties.owner(b) is None
        assert ties.owner(a) == "a"
        entries = State(a, b, a).flat().entries()
        assert [(e.path, e.ties) for e in entries] == [
            ("first", ("same",)),
            ("second", ()),
        ]

    in_two_processes(act, tmp_path)


def test_one_process_that_saves_alone_is_told_so_and_waits_for_nobody(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        net = fsdp(plain_net())
        optim = AdamW().bind(net, lr=1e-2)
        backward(net)
        optim.step()
        if rank == 0:
            with pytest.raises(RecordError, match="Save it to a folder"):
                burnish.save_record(net, tmp_path / "net.mpk")
            with pytest.raises(RecordError, match="values are in several processes"):
                optim.save_record(tmp_path / "optim.mpk")

    in_two_processes(act, tmp_path / "processes")

    assert not [*tmp_path.glob("*.mpk")]


def test_a_module_is_built_from_a_file_and_then_spread(
    record: Path, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        nets: list[nn.Module] = [
            fsdp(burnish.from_record(plain_net, record)),
            burnish.from_record(lambda: fsdp(plain_net()), record),
        ]
        stored = burnish.open_record(record)
        ids = {entry.path: entry.id for entry in stored.entries()}
        for net in nets:
            for name, values in whole_values(net).items():
                assert torch.equal(values, stored[name]), name
            # Those of the file, and so the same on all processes.
            assert {p.path: p.id for p in burnish.named_params(net)} == ids

    in_two_processes(act, tmp_path)
