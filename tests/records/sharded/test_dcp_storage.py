"""torch.distributed.checkpoint saves to folders of records, and loads them."""

import gc
import os
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

import burnish
from burnish.records.sharded import (
    RecordLoadPlanner,
    RecordSavePlanner,
    RecordStorageReader,
    RecordStorageWriter,
)
from burnish.records.sharded.splitting import split_record

from ...forked_processes import in_processes
from ...sharded_nets import (
    backward,
    fsdp,
    needs_sharding,
    plain_net,
    tensor_parallel,
    whole_values,
)

dcp: Any = import_module("torch.distributed.checkpoint")

pytestmark = [needs_sharding, pytest.mark.filterwarnings("ignore")]


def trained(spread: Any) -> tuple[Any, Any]:
    net = spread(plain_net())
    optim = torch.optim.AdamW(net.parameters(), lr=1e-2)
    backward(net)
    optim.step()
    return net, optim


def state_of(net: Any, optim: Any) -> dict[str, Any]:
    model, optimizer = get_state_dict(net, optim)
    return {"model": model, "optim": optimizer, "step": 3, "note": ("a", None)}


def load(folder: Path, state: dict[str, Any]) -> None:
    reader, planner = RecordStorageReader(folder), RecordLoadPlanner()
    dcp.load(state, storage_reader=reader, planner=planner)


def save(folder: Path | str, state: dict[str, Any]) -> None:
    writer, planner = RecordStorageWriter(folder), RecordSavePlanner()
    dcp.save(state, storage_writer=writer, planner=planner)


@pytest.mark.parametrize(
    ("n", "n_later", "later"), [(2, 2, fsdp), (2, 3, fsdp), (3, 2, tensor_parallel)]
)
def test_a_run_goes_on_through_torch_s_own_calls(
    n: int, n_later: int, later: Any, tmp_path: Path
) -> None:
    def write(rank: int) -> None:
        net, optim = trained(fsdp)
        save(tmp_path / "state", state_of(net, optim))
        values = whole_values(net)
        if rank == 0:
            torch.save(values, tmp_path / "values.pt")

    in_processes(write, tmp_path / "before", n)

    def read(rank: int) -> None:
        net = later(plain_net())
        optim = torch.optim.AdamW(net.parameters(), lr=1.0)
        state: dict[str, Any] = {**state_of(net, optim), "step": 0, "note": ()}
        load(tmp_path / "state", state)
        set_state_dict(
            net, optim, model_state_dict=state["model"], optim_state_dict=state["optim"]
        )
        expected = torch.load(tmp_path / "values.pt")
        for name, tensor in whole_values(net).items():
            assert torch.equal(tensor, expected[name])
        assert (state["step"], state["note"]) == (3, ("a", None))
        assert optim.param_groups[0]["lr"] == 1e-2

    in_processes(read, tmp_path / "after", n_later)

    names = {file.suffix for file in (tmp_path / "state").iterdir()}
    assert names == {".mpk"}
    record = burnish.open_record(tmp_path / "state")
    expected = torch.load(tmp_path / "values.pt")
    assert torch.equal(record["model.0.weight"], expected["0.weight"])
    assert burnish.verify_file(tmp_path / "state").verified == "all"


def test_a_save_in_the_background_takes_the_writer_too(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net, _ = trained(fsdp)
        before = whole_values(net)
        save_of_torch: Any = dcp.async_save(
            {"model": net.state_dict()},
            storage_writer=RecordStorageWriter(tmp_path / "state"),
            planner=RecordSavePlanner(),
        )
        with torch.no_grad():
            for param in net.parameters():
                param.zero_()
        save_of_torch.result()
        state = {"model": net.state_dict()}
        load(tmp_path / "state", state)
        after = whole_values(net)
        assert all(torch.equal(before[name], after[name]) for name in before)

    in_processes(act, tmp_path / "processes", 2)


def test_folders_of_modules_are_read_too(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        burnish.save_record(fsdp(plain_net()), f"{tmp_path}/net/")
        net = tensor_parallel(plain_net())
        for param in net.parameters():
            (param.to_local() if hasattr(param, "to_local") else param).data.zero_()
        state = net.state_dict()
        load(tmp_path / "net", state)
        expected = plain_net().state_dict()
        for name, tensor in whole_values(net).items():
            assert torch.equal(tensor, expected[name])

    in_processes(act, tmp_path / "processes", 2)


def test_damage_in_one_process_s_part_stops_all_before_a_value_changes(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        net, _ = trained(fsdp)
        save(tmp_path / "state", {"model": net.state_dict()})
        if rank == 0:
            part = sorted((tmp_path / "state").glob("part-*"))[1]
            data = bytearray(part.read_bytes())
            data[len(data) // 2] ^= 64
            part.write_bytes(data)
        torch.distributed.barrier()
        other = fsdp(plain_net())
        before = whole_values(other)
        with pytest.raises(CheckpointException, match="part-00001"):
            load(tmp_path / "state", {"model": other.state_dict()})
        after = whole_values(other)
        assert all(torch.equal(before[name], after[name]) for name in before)

    in_processes(act, tmp_path / "processes", 2)


def test_no_state_dict_gets_rows_of_two_records(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net = fsdp(plain_net())
        save(tmp_path / "0", net.state_dict())
        net[0].weight.data.mul_(2)
        save(tmp_path / "1", net.state_dict())
        state = fsdp(plain_net()).state_dict()
        before = state["0.weight"].full_tensor()
        with pytest.raises(CheckpointException, match="load different records"):
            load(tmp_path / str(rank), state)

        assert torch.equal(state["0.weight"].full_tensor(), before)

    in_processes(act, tmp_path / "processes", 2)


def test_planners_that_pickle_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with pytest.raises(CheckpointException, match="RecordSavePlanner"):
        dcp.save({"step": 3}, storage_writer=RecordStorageWriter(folder))
    save(folder, {"step": 3})

    with pytest.raises(CheckpointException, match="RecordLoadPlanner"):
        dcp.load({"step": 0}, storage_reader=RecordStorageReader(folder))
    state = {"step": 0}
    load(folder, state)
    assert state == {"step": 3}


def test_the_error_of_an_object_names_its_place_in_the_state_dict(
    tmp_path: Path,
) -> None:
    for value, place in ((object(), "loop.x"), ([1, object()], "loop.x.1")):
        with pytest.raises(CheckpointException) as caught:
            save(tmp_path, {"weight": torch.ones(2), "loop": {"x": value}})

        (failure,) = caught.value.failures.values()
        assert f"{place}: a builtins.object is not plain data" in str(failure[0])


def test_processes_whose_storages_are_their_own_are_told(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net, _ = trained(fsdp)

        with pytest.raises(CheckpointException, match="process 1 has written part-"):
            save("memory://bucket/state/", {"model": net.state_dict()})

    in_processes(act, tmp_path, 2)


def test_plans_that_torch_keeps_write_no_file_twice(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net = fsdp(plain_net())
        names: set[str] = set()
        for number in range(3):
            state = {"model": net.state_dict(), "number": number}
            planner = RecordSavePlanner(enable_plan_caching=True)
            dcp.save(
                state, storage_writer=RecordStorageWriter(tmp_path), planner=planner
            )
            names.update(file.name for file in tmp_path.glob("part-*"))
            state["number"] = -1
            load(tmp_path, state)
            assert state["number"] == number
            torch.distributed.barrier()
        assert len(names) == 3 * 2

    in_processes(act, tmp_path / "processes", 2)


def test_a_planner_that_names_the_file_of_an_earlier_save_is_refused(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        state = {"a": torch.ones(3)}
        for number in range(2):
            planner = dcp.DefaultSavePlanner(enable_plan_caching=True)
            error = pytest.raises(CheckpointException, match="plan of an earlier save")
            with error if number else nullcontext():
                dcp.save(
                    state, storage_writer=RecordStorageWriter(tmp_path), planner=planner
                )
            state["a"] *= 2
        load(tmp_path, state)
        assert float(state["a"][0]) == 1

    in_processes(act, tmp_path / "processes", 1)


class InterruptedWriter(RecordStorageWriter):
    """Writes its index after another program has done something to the folder."""

    def __init__(self, folder: Path, act: Callable[[], object]) -> None:
        super().__init__(folder)
        self._act = act

    def finish(self, metadata: Any, results: Any) -> None:
        """Do so, and finish."""
        self._act()
        super().finish(metadata, results)


@pytest.mark.parametrize("other", ["dcp.save", "save_record", "shard"])
def test_of_two_saves_to_one_folder_at_once_the_last_one_is_there(
    tmp_path: Path, other: str
) -> None:
    record = burnish.Record.from_state_dict({"a": torch.zeros(3)})
    folder = tmp_path / "folder"
    acts = {
        "dcp.save": lambda: save(folder, {"a": torch.zeros(3)}),
        "save_record": lambda: record.save(f"{folder}/"),
        "shard": lambda: split_record(record, str(folder), 2),
    }

    def act(rank: int) -> None:
        writer = InterruptedWriter(folder, acts[other])
        state = {"a": torch.ones(3)}
        dcp.save(state, storage_writer=writer, planner=RecordSavePlanner())

        assert torch.equal(burnish.open_record(f"{folder}/")["a"], torch.ones(3))
        assert len(os.listdir(folder)) == 2

    in_processes(act, tmp_path / "processes", 1)


def test_a_save_that_failed_claims_nothing_once_its_writer_is_gone(
    tmp_path: Path,
) -> None:
    def fail() -> None:
        raise OSError("of the disk")

    def act(rank: int) -> None:
        with pytest.raises(CheckpointException, match="of the disk"):
            dcp.save(
                {"a": torch.ones(3)},
                storage_writer=InterruptedWriter(tmp_path / "folder", fail),
                planner=RecordSavePlanner(),
            )
        gc.collect()
        save(tmp_path / "folder", {"a": torch.zeros(3)})

        assert len(os.listdir(tmp_path / "folder")) == 2

    in_processes(act, tmp_path / "processes", 1)


def test_a_writer_that_saves_is_sent_to_other_processes(tmp_path: Path) -> None:
    writer = RecordStorageWriter(tmp_path)
    writer.prepare_global_plan([])

    assert pickle.loads(pickle.dumps(writer)).prepare_global_plan([]) == []


@pytest.mark.parametrize(
    ("stored", "target", "words"),
    [
        (torch.tensor([1.5]), torch.zeros(1, dtype=torch.int32), "float32.*int32"),
        (torch.tensor([300]), torch.zeros(1, dtype=torch.int8), "int64.*int8"),
        (torch.tensor([1j]), torch.zeros(1), "complex64.*float32"),
        (torch.tensor([1e6]), torch.zeros(1).half(), "1e.06 does not fit float16"),
        (3, torch.zeros(1), "plain data, expected a tensor"),
    ],
    ids=str,
)
def test_what_a_tensor_cannot_hold_is_refused_before_a_value_changes(
    tmp_path: Path, stored: object, target: torch.Tensor, words: str
) -> None:
    save(tmp_path, {"a": torch.ones(2), "b": stored})
    state = {"a": torch.zeros(2), "b": target}

    with pytest.raises(CheckpointException, match=f"b: .*{words}"):
        load(tmp_path, state)

    assert not state["a"].any()
    assert state["b"] is target
    assert not target.any()


def test_wider_dtypes_and_other_floats_are_filled(tmp_path: Path) -> None:
    save(tmp_path, {"a": torch.tensor([1.5]), "b": torch.tensor([3], dtype=torch.int8)})
    state = {"a": torch.zeros(1).bfloat16(), "b": torch.zeros(1, dtype=torch.int64)}

    load(tmp_path, state)

    assert (float(state["a"]), int(state["b"])) == (1.5, 3)


def test_values_fit_the_tensors_of_other_planners_too(tmp_path: Path) -> None:
    save(tmp_path, {"a": torch.tensor([1e6])})
    state = {"a": torch.zeros(1).half()}

    with pytest.raises(CheckpointException, match=r"a: 1e.06 does not fit float16"):
        dcp.load(state, storage_reader=RecordStorageReader(tmp_path))


def test_plain_data_comes_back_where_nothing_is_flattened(tmp_path: Path) -> None:
    state: dict[str, Any] = {"a": torch.ones(1), "n": {"x": 1}}
    writer = RecordStorageWriter(tmp_path)
    planner = RecordSavePlanner(flatten_state_dict=False)
    dcp.save(state, storage_writer=writer, planner=planner)

    state["n"] = {"x": 0}
    dcp.load(
        state,
        storage_reader=RecordStorageReader(tmp_path),
        planner=RecordLoadPlanner(flatten_state_dict=False),
    )

    assert state["n"] == {"x": 1}


def test_what_is_no_folder_of_records_is_told(tmp_path: Path) -> None:
    dcp.save({"a": torch.ones(1)}, checkpoint_id=tmp_path / "torch")
    burnish.save_record({"a": torch.ones(1)}, tmp_path / "a.mpk")

    for name, words in (
        ("torch", "torch's own FileSystemWriter"),
        ("a.mpk", "a file, expected a folder"),
        ("none", "no record, expected a folder with index.mpk"),
    ):
        with pytest.raises(CheckpointException, match=words):
            load(tmp_path / name, {"a": torch.zeros(1)})
