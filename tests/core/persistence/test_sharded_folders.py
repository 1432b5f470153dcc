"""What some processes have saved in a folder, any number and kind of others load."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.cli.main import main
from burnish.optim import SGD
from burnish.records import (
    Precision,
    RecordError,
    RecordMismatchError,
    open_record,
)
from burnish.records.sharded.folder import RecordFolder

from ...forked_processes import in_processes, killed_while_saving
from ...sharded_nets import fsdp, mesh_of, needs_sharding, plain_net, whole_values

pytestmark = needs_sharding


class Net(nn.Module):
    """A tied embedding of 5 rows, of which a fourth process has none, a parameter of
    one element, buffers, and extra state."""

    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, width)
        self.first = nn.Linear(width, 16)
        self.second = nn.Linear(16, width)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("steps", torch.tensor(3))
        self.note = "none"

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        hidden = self.second(self.first(self.embedding(index)).relu())
        result: torch.Tensor = self.head(self.norm(hidden)) * self.scale
        return result

    def get_extra_state(self) -> dict[str, str]:
        return {"note": self.note}

    def set_extra_state(self, state: dict[str, str]) -> None:
        self.note = state["note"]


def trained_net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    net = Net()
    with torch.no_grad():
        for tensor in (*net.parameters(), net.norm.running_mean):
            assert tensor is not None
            tensor.copy_(torch.randn(tensor.shape))
    net.note = f"trained with {seed}"
    return net


def as_it_is(net: Net) -> Any:
    return net


def by_layers(net: Net, mesh: Any = None) -> Any:
    fsdp(net.first, mesh)
    fsdp(net.second, mesh)
    return fsdp(net, mesh)


def on_a_grid(net: Net) -> Any:
    """Shard over pairs of processes, each of which has a replica."""
    return by_layers(net, mesh_of(2, 2, names=("replicate", "shard")))


def tensor_parallel(net: Net, mesh: Any = None) -> Any:
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    plan: Any = {"first": ColwiseParallel(), "second": RowwiseParallel()}
    return parallelize_module(net, mesh or mesh_of(), plan)


def on_both(net: Net) -> Any:
    """Cut layers over pairs of processes, and all of it over the other dimension."""
    mesh = mesh_of(2, 2, names=("dp", "tp"))
    return by_layers(tensor_parallel(net, mesh["tp"]), mesh["dp"])


Spread = Callable[[Net], Any]


def save(folder: Path, n: int, spread: Spread, processes: Path) -> None:
    def act(rank: int) -> None:
        burnish.save_record(spread(trained_net()), f"{folder}/")

    in_processes(act, processes, n)


def assert_saved_values(net: nn.Module) -> None:
    expected = trained_net()
    values = whole_values(net)
    for name, tensor in expected.state_dict().items():
        if not name.endswith("_extra_state"):
            assert torch.equal(values[name], tensor), name
    assert net.note == expected.note


WAYS: list[tuple[int, Spread, int, Spread]] = [
    (2, by_layers, 2, by_layers),
    (2, by_layers, 3, by_layers),
    (4, by_layers, 3, by_layers),
    (2, by_layers, 2, tensor_parallel),
    (2, tensor_parallel, 2, by_layers),
    (4, on_a_grid, 2, by_layers),
    (4, on_both, 2, by_layers),
    (2, by_layers, 4, on_both),
    (1, as_it_is, 2, by_layers),
    (2, as_it_is, 2, by_layers),
]


@pytest.mark.parametrize(("n", "spread", "n_later", "later"), WAYS)
def test_a_folder_is_loaded_by_other_numbers_and_kinds_of_processes(
    n: int, spread: Spread, n_later: int, later: Spread, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    save(folder, n, spread, tmp_path / "before")

    def act(rank: int) -> None:
        net = later(trained_net(seed=1))
        report = burnish.load_record(net, folder)

        assert_saved_values(net)
        assert report.verified == "all"
        assert not report.changed

    in_processes(act, tmp_path / "after", n_later)


@pytest.mark.parametrize(
    ("n", "spread"), [(2, by_layers), (4, on_a_grid), (4, on_both)]
)
def test_one_process_without_a_group_has_the_whole(
    n: int, spread: Spread, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    save(folder, n, spread, tmp_path / "before")

    built = burnish.from_record(Net, folder)
    filled = trained_net(seed=1)
    burnish.load_record(filled, f"{folder}/")

    for net in (built, filled):
        assert_saved_values(net)
        assert net.head.weight is net.embedding.weight
    record = open_record(folder)
    assert {p.id for p in burnish.named_params(built)} == {
        entry.id for entry in record.entries() if entry.kind == "parameter"
    }
    assert burnish.verify_file(folder).verified == "all"


def test_modules_are_built_from_a_folder_and_spread(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    save(folder, 2, by_layers, tmp_path / "before")

    def act(rank: int) -> None:
        with torch.device("meta"):
            on_meta = by_layers(Net())
        on_meta.to_empty(device="cpu")
        burnish.load_record(on_meta, folder)
        nets = [
            on_meta,
            by_layers(burnish.from_record(Net, folder)),
            burnish.from_record(lambda: by_layers(Net()), folder),
        ]
        for net in nets:
            assert_saved_values(net)

    in_processes(act, tmp_path / "after", 3)


def test_one_process_cuts_a_file_as_several_would_have_written_it(
    tmp_path: Path,
) -> None:
    folder, file, again = tmp_path / "net", tmp_path / "net.mpk", tmp_path / "again"
    save(folder, 3, fsdp, tmp_path / "before")

    assert main(["consolidate", str(folder), str(file)]) == 0
    assert main(["shard", str(file), str(again), "--parts", "3"]) == 0

    parts = [sorted(each.glob("part-*")) for each in (folder, again)]
    for by_processes, by_one in zip(*parts, strict=True):
        assert by_processes.read_bytes() == by_one.read_bytes()
    burnish.load_record(trained_net(seed=1), again)


def test_each_process_reads_its_own_rows_and_no_other_part(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    save(folder, 2, by_layers, tmp_path / "before")

    def act(rank: int) -> None:
        from torch import distributed as dist

        net = by_layers(trained_net(seed=1))
        dist.barrier()
        parts = sorted(folder.glob("part-*"))
        hidden = parts[1] if rank == 0 else parts[0]
        # Each process looks at a copy that lacks the part of the other; what is whole
        # is in the first part.
        own = tmp_path / f"own{rank}"
        own.mkdir()
        for file in folder.iterdir():
            if file != hidden or rank == 1:
                os.link(file, own / file.name)
        burnish.load_record(net, own)
        assert_saved_values(net)

    in_processes(act, tmp_path / "after", 2)


def test_the_ids_are_those_of_the_first_process(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net = by_layers(trained_net())
        burnish.save_record(net, f"{tmp_path}/net/")

        ids = {p.path: p.id for p in burnish.named_params(net)}
        stored = open_record(tmp_path / "net").entries()
        assert ids == {e.path: e.id for e in stored if e.kind == "parameter"}

    in_processes(act, tmp_path / "processes", 3)


def test_buffers_that_differ_are_said_when_they_are_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "net"

    def act(rank: int) -> None:
        net = trained_net()
        assert net.norm.running_var is not None
        net.norm.running_var.fill_(rank + 1.0)
        burnish.save_record(net, f"{folder}/")

    in_processes(act, tmp_path / "before", 2)
    net = Net()
    report = burnish.load_record(net, folder)

    assert net.norm.running_var is not None
    assert torch.equal(net.norm.running_var, torch.ones(7))
    assert [line for line in report.changed if "norm.running_var" in line]
    assert len(report.changed) == 1


def test_parameters_are_stored_at_the_precision_that_is_asked_for(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "net"

    def act(rank: int) -> None:
        precision = Precision(param=torch.bfloat16, keep=["head.*"])
        burnish.save_record(by_layers(trained_net()), f"{folder}/", precision=precision)
        net = by_layers(trained_net(seed=1))
        report = burnish.load_record(net, folder)
        assert "first.weight" in report.converted
        whole = trained_net().first.weight.bfloat16().float()
        assert torch.equal(whole_values(net)["first.weight"], whole)

    in_processes(act, tmp_path / "processes", 2)

    dtypes = {entry.path: entry.dtype for entry in open_record(folder).entries()}
    assert dtypes["first.weight"] is torch.bfloat16
    # The embedding is tied to what is kept.
    assert dtypes["embedding.weight"] is torch.float32


@pytest.mark.parametrize("failing", [0, 1])
def test_a_damaged_byte_on_one_process_stops_all(failing: int, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    save(folder, 2, by_layers, tmp_path / "before")
    part = sorted(folder.glob("part-*"))[failing]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 64
    part.write_bytes(data)

    def act(rank: int) -> None:
        net = by_layers(trained_net(seed=1))
        before = whole_values(net)
        with pytest.raises(RecordError):
            burnish.load_record(net, folder)

        after = whole_values(net)
        assert all(torch.equal(before[name], after[name]) for name in before)

    in_processes(act, tmp_path / "after", 2)


def test_a_folder_that_does_not_fit_is_refused_by_all(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    save(folder, 2, by_layers, tmp_path / "before")

    def act(rank: int) -> None:
        torch.manual_seed(0)
        net = by_layers(Net(width=8))
        with pytest.raises(RecordMismatchError, match="found shape"):
            burnish.load_record(net, folder)

    in_processes(act, tmp_path / "after", 2)


def test_another_module_on_one_process_is_refused_by_all(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    save(folder, 2, by_layers, tmp_path / "before")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def act(rank: int) -> None:
        net = nn.Linear(3, 2, bias=rank == 0)
        with pytest.raises(RecordError, match=r"entry 1 is 'bias'.*nothing more in"):
            burnish.save_record(net, f"{folder}/")

    in_processes(act, tmp_path / "after", 2)

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def in_stages(mesh: Any) -> Any:
    """Return a layer that is sharded over one dimension, and another one of the
    other: a stage of a pipeline each."""
    torch.manual_seed(mesh.get_local_rank("stage"))
    return fsdp(nn.Linear(4, 4), mesh["shard"])


def one_by_one(mesh: Any) -> Any:
    torch.manual_seed(torch.distributed.get_rank())
    return nn.Linear(4, 4)


@pytest.mark.parametrize("spread", [in_stages, one_by_one])
def test_modules_of_one_form_and_other_values_are_not_taken_for_copies(
    spread: Any, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        mesh = mesh_of(2, 2, names=("stage", "shard"))
        net = spread(mesh)
        with pytest.raises(RecordError, match=r"weight.*different values.*group="):
            burnish.save_record(net, f"{tmp_path}/net/")

        group, stage = mesh["shard"].get_group(), mesh.get_local_rank("stage")
        if spread is in_stages:
            burnish.save_record(net, f"{tmp_path}/stage{stage}/", group=group)
            stored = open_record(f"{tmp_path}/stage{stage}")["weight"]
            assert torch.equal(stored, whole_values(net)["weight"])

    in_processes(act, tmp_path / "processes", 4)

    assert not [*tmp_path.glob("net/*")]


def test_copies_of_one_mesh_that_drifted_apart_are_not_mixed(tmp_path: Path) -> None:
    folder = f"{tmp_path}/net/"

    def act(rank: int) -> None:
        net = fsdp(plain_net(), mesh_of(2, 2, names=("copies", "shares")))
        burnish.save_record(net, folder)
        if rank == 3:
            net[0].weight.data.to_local().mul_(2)
        with pytest.raises(RecordError, match=r"^0\.weight: .*different values"):
            burnish.save_record(net, folder)

    in_processes(act, tmp_path / "processes", 4)
    assert torch.equal(
        burnish.open_record(folder)["0.weight"], plain_net().get_parameter("0.weight")
    )


def test_a_process_outside_of_the_mesh_loads_what_it_has(tmp_path: Path) -> None:
    folder = f"{tmp_path}/net/"

    def act(rank: int) -> None:
        from torch.distributed.device_mesh import DeviceMesh
        from torch.distributed.tensor import Shard, distribute_tensor

        mesh = DeviceMesh("cpu", [0, 1])
        net: Any = nn.Module()
        net.spread = nn.Parameter(distribute_tensor(torch.ones(5, 2), mesh, [Shard(0)]))
        net.plain = nn.Parameter(torch.ones(2))
        burnish.save_record(net, folder)
        with torch.no_grad():
            net.plain.zero_()
        burnish.load_record(net, folder)

        assert net.plain.eq(1).all()

    in_processes(act, tmp_path / "processes", 3)


def test_processes_that_name_different_folders_are_told(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        folder = tmp_path / f"net{rank}"
        folder.mkdir()
        with pytest.raises(RecordError, match="process 1 has written part-00001"):
            burnish.save_record(by_layers(trained_net()), f"{folder}/")

    in_processes(act, tmp_path / "processes", 2)

    assert not [*tmp_path.glob("net*/index.mpk")]


def test_a_process_that_does_not_find_the_folder_of_the_first_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(rank: int) -> None:
        (tmp_path / f"{rank}").mkdir()
        monkeypatch.chdir(tmp_path / f"{rank}")
        with pytest.raises(RecordError, match=r"1/net: process 1.*to the same folder"):
            burnish.save_record(by_layers(trained_net()), "net/")

    in_processes(act, tmp_path / "processes", 2)

    assert not [*tmp_path.glob("*/net/*")]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_save_that_fails_on_one_process_fails_on_all_and_leaves_the_old_folder(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "net"
    save(folder, 2, by_layers, tmp_path / "before")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def act(rank: int) -> None:
        from burnish.records.io import sink

        def write(self: object, buffers: object) -> None:
            raise OSError(28, "No space left on device")

        if rank == failing:
            monkeypatch.setattr(sink.FileSink, "writev", write)
        with pytest.raises(OSError, match="full"):
            burnish.save_record(by_layers(trained_net(seed=2)), f"{folder}/")

    in_processes(act, tmp_path / "after", 2)

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_smaller_save_over_a_larger_one_leaves_nothing_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    save(folder, 4, by_layers, tmp_path / "before")
    save(folder, 2, by_layers, tmp_path / "after")

    names = [file.name[:19] for file in sorted(folder.iterdir())]

    assert names == ["index.mpk", "part-00000-of-00002", "part-00001-of-00002"]
    assert_saved_values(burnish.from_record(Net, folder))


def test_a_folder_is_saved_and_loaded_by_one_process(tmp_path: Path) -> None:
    net = trained_net()

    burnish.save_record(net, f"{tmp_path}/net/", metadata={"epoch": 3})
    burnish.save_record(net, tmp_path / "net", metadata={"epoch": 4})

    assert open_record(tmp_path / "net").metadata["epoch"] == 4
    assert_saved_values(burnish.from_record(Net, tmp_path / "net"))
    assert len([*(tmp_path / "net").iterdir()]) == 2


def test_a_recorder_of_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="remove recorder="):
        burnish.save_record(trained_net(), f"{tmp_path}/net/", recorder="compact")

    assert not (tmp_path / "net").exists()


def test_a_folder_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="remove wait=False"):
        burnish.save_record(trained_net(), f"{tmp_path}/net/", wait=False)

    assert not (tmp_path / "net").exists()


def test_the_record_of_a_sharded_module_is_of_the_class_that_was_written(
    tmp_path: Path,
) -> None:
    save(tmp_path / "net", 2, by_layers, tmp_path / "before")

    assert open_record(tmp_path / "net").type_name == "Net"


def test_a_state_dict_of_dtensors_goes_to_a_folder_too(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net = by_layers(trained_net())
        state = {
            name: value
            for name, value in net.state_dict().items()
            if not name.endswith("_extra_state")
        }
        burnish.save_record(state, f"{tmp_path}/state/")

    in_processes(act, tmp_path / "processes", 2)

    state = open_record(tmp_path / "state").to_state_dict()
    assert torch.equal(state["first.weight"], trained_net().first.weight)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_in_mid_save_leaves_the_old_folder(
    killed: int, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    save(folder, 2, by_layers, tmp_path / "before")

    def save_others(rank: int) -> None:
        burnish.save_record(by_layers(trained_net(seed=2)), f"{folder}/")

    killed_while_saving(save_others, tmp_path / "killed", killed)
    assert_saved_values(burnish.from_record(Net, folder))

    save(folder, 1, as_it_is, tmp_path / "after")
    assert_saved_values(burnish.from_record(Net, folder))
    assert len([*folder.iterdir()]) == 2


def test_of_two_saves_at_once_the_folder_holds_one_whole(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    seeds = (3, 4)
    children: list[int] = []
    for seed in seeds:
        child = os.fork()
        if not child:
            torch.set_num_threads(1)
            net = trained_net(seed)
            for _ in range(5):
                burnish.save_record(net, f"{folder}/")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]

    net = burnish.from_record(Net, folder)

    expected = trained_net(int(net.note.rpartition(" ")[2]))
    for a, b in zip(net.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_some_processes_save_as_a_group_and_wait_for_no_others(tmp_path: Path) -> None:
    folder, optim_folder = f"{tmp_path}/net/", f"{tmp_path}/optim/"

    def act(rank: int) -> None:
        mesh = mesh_of(2, 2, names=("models", "shares"))["shares"]
        net = fsdp(Net(), mesh)
        optim = SGD(momentum=0.9).bind(net, lr=0.1)
        net(torch.tensor([0, 1])).square().sum().backward()
        optim.step()
        # Each of two pairs trains a module of its own, of which one is saved.
        if rank < 2:
            return
        group = mesh.get_group()
        burnish.save_record(net, folder, group=group)
        optim.save_record(optim_folder, group=group)
        before = whole_values(net)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.zero_()
        burnish.load_record(net, folder)
        optim.load_record(optim_folder)
        after = whole_values(net)
        assert all(torch.equal(values, after[name]) for name, values in before.items())
        if rank == 2:
            with pytest.raises(ValueError, match="is not a folder"):
                burnish.save_record(net, tmp_path / "net.mpk", group=group)

    in_processes(act, tmp_path / "processes", 4)

    assert len([*tmp_path.glob("net/part-*-of-00002*")]) == 2


def test_each_process_removes_a_part_of_the_save_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = RecordFolder.remove

    def act(rank: int) -> None:
        net = fsdp(Net())
        burnish.save_record(net, f"{tmp_path}/net/")
        names: list[str] = []

        def noted(folder: RecordFolder, name: str) -> None:
            names.append(name)
            remove(folder, name)

        monkeypatch.setattr(RecordFolder, "remove", noted)
        monkeypatch.setattr(RecordFolder, "remove_old", lambda *_: None)
        burnish.save_record(net, f"{tmp_path}/net/")
        assert [name.split("-")[1] for name in names] == [f"{rank:05d}"]

    in_processes(act, tmp_path / "processes", 2)

    assert len([*tmp_path.glob("net/part-*")]) == 2


def test_a_save_without_the_other_processes_is_refused_and_the_old_folder_stays(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "net"
    save(folder, 2, by_layers, tmp_path / "before")

    def act(rank: int) -> None:
        net = by_layers(trained_net(seed=2))
        # A group that the other process does not know of.
        alone = torch.distributed.new_group([rank], use_local_synchronization=True)
        with pytest.raises(RecordError, match="1 save together"):
            burnish.save_record(net, f"{folder}/", group=alone)
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
        with pytest.raises(
            RecordError, match="before their process group is destroyed"
        ):
            burnish.save_record(net, f"{folder}/")
        os._exit(0)  # there is no group to wait in

    in_processes(act, tmp_path / "processes", 2)

    assert_saved_values(burnish.from_record(Net, folder))


def test_processes_whose_storages_are_their_own_are_told(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net, folder = fsdp(trained_net()), "memory://bucket/net/"

        with pytest.raises(
            RecordError, match=r"process 1 has written part-.* elsewhere"
        ):
            burnish.save_record(net, folder)
        with pytest.raises(FileNotFoundError):
            open_record(folder)

    in_processes(act, tmp_path, 2)
