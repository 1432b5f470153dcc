"""Records of several parts behind a URL: the index last, old parts afterwards."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import AdamW
from burnish.records.io.remote import stored_folder
from burnish.records.sharded import (
    RecordLoadPlanner,
    RecordSavePlanner,
    RecordStorageReader,
    RecordStorageWriter,
)
from burnish.records.sharded.folder import RecordFolder
from burnish.records.sharded.remote_folder import RemoteRecordFolder, record_folder
from burnish.records.tensors.shares import own_share

from ...forked_processes import in_processes
from ...sharded_nets import fsdp, needs_sharding, plain_net

fsspec: Any = pytest.importorskip("fsspec")
from ..object_storage import CountingStorage, disk_storage  # noqa: E402

URL = "counting://bucket/net/"


pytestmark = pytest.mark.usefixtures("empty_storage")


def net(value: float = 1.0) -> nn.Linear:
    module = nn.Linear(3, 2)
    nn.init.constant_(module.weight, value)
    return module


def names() -> list[str]:
    return sorted(name.rpartition("/")[2] for name in CountingStorage.objects)


def test_a_folder_is_told_by_its_place(tmp_path: Path) -> None:
    assert isinstance(record_folder(URL), RemoteRecordFolder)
    assert isinstance(record_folder(f"file://{tmp_path}/"), RecordFolder)


@pytest.mark.parametrize("url", [URL, "memory://bucket/net of%20#ü/"])
def test_a_module_and_an_optimizer_go_to_folders_and_come_back(url: str) -> None:
    module, target = net(2.0), net(3.0)
    optim, optim_again = AdamW().bind(module, lr=0.1), AdamW().bind(target, lr=0.1)
    module(torch.ones(3)).sum().backward()
    optim.step()

    burnish.save_record(module, url)
    optim.save_record(f"{url}optim/")
    burnish.load_record(target, url)
    optim_again.load_record(f"{url}optim/")

    assert torch.equal(module.weight, target.weight)
    assert burnish.verify_file(url).verified == "all"
    for model, its_optim in ((module, optim), (target, optim_again)):
        model.zero_grad()
        model(torch.ones(3)).sum().backward()
        its_optim.step()
    assert torch.equal(module.weight, target.weight)


def test_the_index_is_written_last_and_the_old_part_goes_afterwards() -> None:
    burnish.save_record(net(), URL)
    before = names()
    CountingStorage.forget()

    burnish.save_record(net(2.0), URL)

    calls = [c.partition(" ") for c in CountingStorage.calls if "get" not in c]
    steps = [(kind, path.rpartition("/")[2]) for kind, _, path in calls]
    changes = [step for step in steps if step[0] in ("put", "delete")]
    assert [kind for kind, _ in changes] == ["put", "put", "delete"]
    assert changes[1:] == [("put", "index.mpk"), ("delete", before[1])]
    assert len(names()) == 2
    assert names()[1] != before[1]


@pytest.mark.parametrize("object_name", ["part-", "index.mpk"])
def test_a_save_that_fails_leaves_the_old_record(
    object_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    burnish.save_record(net(), URL)
    before = dict(CountingStorage.objects)
    put = CountingStorage.pipe_file

    def failing(self: Any, path: str, value: bytes, **options: Any) -> None:
        if object_name in path:
            raise RuntimeError("gone")
        put(self, path, value, **options)

    monkeypatch.setattr(CountingStorage, "pipe_file", failing)
    with pytest.raises(OSError, match="gone"):
        burnish.save_record(net(2.0), URL)

    assert before == CountingStorage.objects


def test_what_killed_saves_left_goes_after_a_day_and_all_else_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = "bucket/net/part-00000-of-00002.01234567.mpk"
    CountingStorage.objects |= {left: b"half", "bucket/net/notes.txt": b"mine"}
    burnish.save_record(net(), URL)
    assert left in CountingStorage.objects

    monkeypatch.setattr(stored_folder, "_age", lambda _: 100_000.0)
    burnish.save_record(net(2.0), URL)

    assert left not in CountingStorage.objects
    assert "bucket/net/notes.txt" in CountingStorage.objects
    assert burnish.open_record(URL)["weight"][0, 0] == 2.0


def test_where_nothing_may_be_listed_or_removed_a_save_counts_all_the_same() -> None:
    burnish.save_record(net(), URL)
    CountingStorage.refused.update(("ls", "delete"))

    burnish.save_record(net(2.0), URL)

    assert burnish.open_record(URL)["weight"][0, 0] == 2.0


def test_a_part_that_was_replaced_after_the_index_was_read_is_noticed() -> None:
    burnish.save_record(net(), URL)
    record = burnish.open_record(URL)
    part = next(name for name in CountingStorage.objects if "part-" in name)
    CountingStorage.objects[part] += b"x"

    with pytest.raises(burnish.records.RecordFormatError, match="different content"):
        _ = record["weight"]


@needs_sharding
@pytest.mark.filterwarnings("ignore")
def test_several_processes_write_their_parts_to_a_url_and_others_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = disk_storage(str(tmp_path / "bucket"))
    monkeypatch.setitem(fsspec.config.conf, "disk", storage)
    url, dcp_url = "disk://nets/net/", "disk://nets/dcp"
    dcp: Any = import_module("torch.distributed.checkpoint")

    def act(rank: int) -> None:
        module = fsdp(plain_net())
        for _ in range(2):
            burnish.save_record(module, url)
        dcp.save(
            {"weight": module[0].weight, "note": ("a", 1)},
            storage_writer=RecordStorageWriter(dcp_url),
            planner=RecordSavePlanner(),
        )
        other = fsdp(plain_net())
        nn.init.zeros_(other[0].weight)
        burnish.load_record(other, url)
        state: Any = {"weight": torch.zeros_like(module[0].weight), "note": None}
        dcp.load(
            state,
            storage_reader=RecordStorageReader(dcp_url),
            planner=RecordLoadPlanner(),
        )
        for tensor in (other[0].weight, state["weight"]):
            assert torch.equal(own_share(tensor), own_share(module[0].weight))
        assert state["note"] == ("a", 1)

    in_processes(act, tmp_path / "processes", 2)

    assert burnish.open_record(url)["0.weight"].any()
    assert len([*(tmp_path / "bucket/nets/net").iterdir()]) == 3
