"""Weights in several files, with an index that agrees with them."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.cli.main import main
from burnish.config.storage import scratch
from burnish.core import from_pretrained
from burnish.core.pretrained import shards
from burnish.records import RecordFormatError, RecordMismatchError
from burnish.records.io.remote.stored_folder import write_place

from ...records.gates import full_disk
from .folders import Net, trained


@pytest.mark.parametrize(
    "shard",
    [
        "../model.safetensors",
        "/etc/passwd",
        "a/b",
        "",
        ".hidden",
        "x\x00",
        3,
        None,
        "a..b",
    ],
)
def test_an_index_names_files_of_its_folder_alone(tmp_path: Path, shard: Any) -> None:
    Net(4).save_pretrained(tmp_path, max_shard_size=200)
    index = tmp_path / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    told["weight_map"][next(iter(told["weight_map"]))] = shard
    index.write_text(json.dumps(told))

    with pytest.raises(RecordFormatError, match="name of a file"):
        from_pretrained(tmp_path)


def test_an_index_and_its_shards_agree(tmp_path: Path) -> None:
    Net(4).save_pretrained(tmp_path, max_shard_size=200)
    index = tmp_path / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    shards = list(told["weight_map"].values())
    other, shard = next(x for x in told["weight_map"].items() if shards.count(x[1]) > 1)

    for changed, message in [
        ({**told["weight_map"], "layers.9.weight": shard}, "in none of its shards"),
        ({k: v for k, v in told["weight_map"].items() if k != other}, "a shard has"),
        ({}, "without shards"),
    ]:
        index.write_text(json.dumps({**told, "weight_map": changed}))
        with pytest.raises((RecordFormatError, RecordMismatchError), match=message):
            from_pretrained(tmp_path)


def test_a_lost_shard_is_named(tmp_path: Path) -> None:
    Net(4).save_pretrained(tmp_path, max_shard_size=200)
    lost = next(tmp_path.glob("model-*.safetensors"))
    lost.unlink()

    with pytest.raises(FileNotFoundError, match=lost.name):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("size", [0, -1, "", "x", "5 parsecs", None, True, "0GB"])
def test_a_shard_size_is_bytes_or_a_text_of_them(tmp_path: Path, size: Any) -> None:
    with pytest.raises(
        ValueError, match="a number of bytes, or a string such as '5GB'"
    ):
        trained().save_pretrained(tmp_path, max_shard_size=size)


class Stopped(BaseException):
    """As Ctrl-C would."""


@pytest.mark.parametrize("error", [full_disk(), Stopped()])
@pytest.mark.parametrize("has_older", [False, True])
def test_shards_that_cannot_be_written_leave_the_folder_as_it_was(
    tmp_path: Path, error: BaseException, has_older: bool
) -> None:
    if has_older:
        Net(4).save_pretrained(tmp_path, max_shard_size=200)
    files_before = content_of(tmp_path)
    told: list[tuple[int, int]] = []

    def stop_in_second(n_done: int, n_bytes: int, path: str) -> None:
        told.append((n_done, n_bytes))
        if len(list(tmp_path.glob("model-*"))) > len(files_before):
            raise error

    with pytest.raises(type(error)):
        trained().save_pretrained(tmp_path, max_shard_size=200, progress=stop_in_second)

    assert content_of(tmp_path) == files_before
    assert told == sorted(told)
    assert len({n_bytes for _, n_bytes in told}) == 1


def test_shards_stay_when_ctrl_c_comes_after_their_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_stop(*args: Any) -> None:
        write_place(*args)
        raise Stopped

    monkeypatch.setattr(shards, "write_place", write_and_stop)
    with pytest.raises(Stopped):
        Net(4).save_pretrained(tmp_path, max_shard_size=200)

    assert from_pretrained(tmp_path, Net).embed.weight.shape == (10, 4)


@pytest.mark.parametrize("has_older", [False, True])
def test_of_two_writers_at_once_the_second_waits_and_its_shards_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_older: bool
) -> None:
    if has_older:
        Net(4).save_pretrained(tmp_path, max_shard_size=200)
    is_waiting = threading.Event()
    others: list[threading.Thread] = []

    def lock(*args: Any) -> bool:
        is_locked = scratch.lock(*args)
        if not is_locked:
            is_waiting.set()
        return is_locked

    def save_other() -> None:
        with torch.no_grad():
            other = Net(4)
            other.embed.weight.fill_(7)
            other.save_pretrained(tmp_path, max_shard_size=200)

    def begin_other(*_: object) -> None:
        if not others:
            others.append(threading.Thread(target=save_other))
            others[0].start()
            assert is_waiting.wait(30)

    monkeypatch.setattr(shards, "lock", lock)
    monkeypatch.setattr(shards, "_PAUSE", 0.001)
    Net(4).save_pretrained(tmp_path, max_shard_size=200, progress=begin_other)
    others[0].join()

    assert torch.all(from_pretrained(tmp_path, Net).embed.weight == 7)
    index = json.loads((tmp_path / shards.INDEX).read_bytes())
    names = {file.name for file in tmp_path.glob("model-*")}
    assert names == {*index["weight_map"].values()}


def test_a_writer_that_does_not_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_MOST_SECONDS", 0)

    with (
        shards.only_writer(str(tmp_path)),
        pytest.raises(OSError, match="another program has been writing here"),
        shards.only_writer(str(tmp_path)),
    ):
        pass


def test_what_killed_writers_left_goes_with_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    kept = folder / "model-vision-00001-of-00002.safetensors"
    kept.write_bytes(b"")
    Net(4).save_record(tmp_path / "net.mpk")
    name = "model-01234567-00001-of-00009.safetensors"
    (folder / name).write_bytes(b"")
    (folder / f".{name}.89abcdef.tmp").write_bytes(b"")

    arguments = [str(tmp_path / "net.mpk"), str(folder), "--shards", "200"]
    assert main(["convert", *arguments, "--exclude", "scale", "--force"]) == 0

    index = json.loads((folder / shards.INDEX).read_bytes())
    names = {file.name for file in folder.iterdir()}
    assert names == {*index["weight_map"].values(), shards.INDEX, kept.name}


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}
