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


@pytest.mark.parametrize(
    "suffix", [".mpk", ".mpk.zst", ".mpk.gz", ".safetensors", ".json"]
)
def test_no_module_gets_rows_of_two_records(suffix: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{i}{suffix}" for i in range(2)]
    for i, file in enumerate(files):
        net = plain_net()
        with torch.no_grad():
            net.get_parameter("0.weight")[3, 3] += i
        burnish.save_record(net, file)

    def act(rank: int) -> None:
        net = fsdp(plain_net())
        before = whole_values(net)
        with pytest.raises(RecordMismatchError, match=r"0 4 .*0\.\w.* 1 4 .*1\.\w"):
            burnish.load_record(net, files[rank])
        with pytest.raises(RecordMismatchError, match="load different records"):
            burnish.from_record(lambda: fsdp(plain_net()), files[rank])

        after = whole_values(net)
        assert all(torch.equal(before[name], after[name]) for name in before)

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize("suffix", [".mpk", ".safetensors"])
def test_each_process_may_have_made_the_bytes_by_itself(
    suffix: str, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        file = tmp_path / f"{rank}{suffix}"
        burnish.save_record(plain_net(), file)  # with IDs of its own
        net = fsdp(plain_net())
        with torch.no_grad():
            net[0].weight.zero_()
        burnish.load_record(net, file.read_bytes())

        expected = plain_net().get_parameter("0.weight")
        assert torch.equal(whole_values(net)["0.weight"], expected)

    in_two_processes(act, tmp_path)


def test_a_record_that_is_saved_anew_while_it_is_loaded_is_not_mixed_with_the_old(
    tmp_path: Path,
) -> None:
    folder = f"{tmp_path}/net/"

    def act(rank: int) -> None:
        net = fsdp(plain_net())
        burnish.save_record(net, folder)
        old = burnish.open_record(folder)
        old.load_all()
        net[0].weight.data.mul_(2)
        burnish.save_record(net, folder)
        with pytest.raises(RecordMismatchError, match="saved again meanwhile"):
            burnish.load_record(net, old if rank else folder)

        burnish.load_record(net, folder)

    in_two_processes(act, tmp_path)


def test_no_module_gets_other_entries_on_each_process(
    record: Path, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        chosen = burnish.open_record(record, only=f"{2 * rank}.**")
        with pytest.raises(RecordMismatchError, match="different entries of one"):
            burnish.load_record(fsdp(plain_net()), chosen)

    in_two_processes(act, tmp_path)


def test_what_a_process_has_by_itself_is_loaded_from_a_record_of_its_own(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        own_layer = nn.Linear(2, 2, bias=False)
        net = nn.ModuleDict({"shared": fsdp(plain_net()), "own": own_layer})
        own = burnish.Record.from_state_dict({"weight": torch.full((2, 2), rank + 1.0)})
        burnish.load_record(net["own"], own.save())

        assert own_layer.weight.eq(rank + 1.0).all()

    in_two_processes(act, tmp_path)


def test_an_optimizer_gets_no_rows_of_two_states(tmp_path: Path) -> None:
    plain = plain_net()
    optim = AdamW().bind(plain, lr=1e-2)
    files = [tmp_path / f"optim{i}.mpk" for i in range(2)]
    for file in files:
        backward(plain)
        optim.step()
        optim.save_record(file)

    def act(rank: int) -> None:
        ours = AdamW().bind(fsdp(plain_net()), lr=1e-2)
        with pytest.raises(RecordMismatchError, match="load different records"):
            ours.load_record(files[rank])

        assert not ours.state

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_process_that_cannot_open_the_record_lets_no_other_wait_for_its_module(
    failing: int, record: Path, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        file = tmp_path / "missing.mpk" if rank == failing else record
        with pytest.raises(FileNotFoundError, match=r"missing\.mpk"):
            burnish.from_record(lambda: fsdp(plain_net()), file)

        burnish.from_record(lambda: fsdp(plain_net()), record)

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
            with pytest.raises(RecordError, match="sharded over several processes"):
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
