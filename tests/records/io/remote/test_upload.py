"""Records that are written to URLs: whole, or the object that was there stays."""

from pathlib import Path
from typing import Any, assert_type

import pytest
import torch
from torch import nn

import burnish
from burnish.records import PrecisionError, Record, Recorder, Url
from burnish.records.flat_record import FlatRecord
from burnish.records.io.remote.address import address_of
from burnish.records.io.remote.upload import PART, Upload, uploading

fsspec: Any = pytest.importorskip("fsspec")
from ...object_storage import CountingStorage  # noqa: E402

MIB = 1 << 20
STORAGES = ["memory://upload", "counting://upload"]


def content(url: str) -> bytes:
    storage, path = fsspec.core.url_to_fs(url)
    data: bytes = storage.cat_file(path)
    return data


def names(url: str) -> list[str]:
    storage, path = fsspec.core.url_to_fs(url)
    if isinstance(storage, CountingStorage):
        return [name for name in storage.objects if name.startswith(path)]
    found: list[str] = storage.find(path)
    return found


def large(value: float) -> FlatRecord:
    return Record.from_state_dict({"a": torch.full((3 * PART // 4,), value)})


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(
    "suffix", [".mpk", ".mpk.zst", ".json", ".json.gz", ".safetensors", ".bpk"]
)
def test_a_module_goes_to_a_url_and_comes_back(storage: str, suffix: str) -> None:
    module, target = nn.Linear(30, 20), nn.Linear(30, 20)
    url = f"{storage}/net{suffix}"

    burnish.save_record(module, url)
    burnish.load_record(target, url)

    assert torch.equal(module.weight, target.weight)


@pytest.mark.parametrize("storage", STORAGES)
def test_long_records_are_the_bytes_that_a_file_has(storage: str) -> None:
    url, record = f"{storage}/long.mpk", large(1.0)

    record.save(url)

    assert content(url) == record.save()
    assert [name.endswith("long.mpk") for name in names(url)] == [True]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("size", [1000, PART // 2])
def test_a_save_that_fails_leaves_the_old_object_and_nothing_else(
    storage: str, size: int
) -> None:
    url = f"{storage}/failing.mpk"
    large(1.0).save(url)
    before = content(url)
    module = nn.Linear(1, size)
    nn.init.constant_(module.bias, 1e30)

    with pytest.raises(PrecisionError):
        burnish.save_record(module, url, precision="half")

    assert content(url) == before
    assert len(names(url)) == 1


@pytest.mark.parametrize("storage", STORAGES)
def test_an_interrupt_leaves_the_old_object(storage: str) -> None:
    url = f"{storage}/interrupted.mpk"
    large(1.0).save(url)
    before = content(url)

    def interrupt(done: int, total: int, path: str) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        large(2.0).save(url, progress=interrupt)

    assert content(url) == before
    assert len(names(url)) == 1


def test_a_storage_that_fails_is_quoted_with_the_url_and_the_old_object_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "counting://upload/refused.mpk"
    large(1.0).save(url)
    before = content(url)
    opened: Any = getattr(CountingStorage, "_open")  # noqa: B009  # protected

    def refusing(self: Any, path: str, mode: str = "rb", **options: Any) -> Any:
        file = opened(self, path, mode, **options)

        def refuse() -> None:
            raise PermissionError("Forbidden")

        monkeypatch.setattr(file, "commit", refuse)
        return file

    monkeypatch.setattr(CountingStorage, "_open", refusing)

    with pytest.raises(PermissionError, match=r"Forbidden; what was saved .*refused"):
        large(2.0).save(url)

    monkeypatch.undo()
    assert content(url) == before


def test_a_file_goes_to_its_path_by_a_url_of_this_machine(tmp_path: Any) -> None:
    large(1.0).save(f"file://{tmp_path}/a.mpk")

    assert (tmp_path / "a.mpk").read_bytes() == large(1.0).save()


@pytest.mark.parametrize(
    ("size", "part"), [(0, PART), (60 << 30, PART), (500 << 30, 59_652_324)]
)
def test_parts_are_long_enough_for_the_storage_to_take_them_all(
    size: int, part: int
) -> None:
    upload = Upload(address_of("counting://upload/parts"), size)

    assert upload.part == part
    assert -(-size // upload.part) <= 9_000


def test_short_objects_are_written_at_once_and_long_ones_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = address_of("memory://upload/whole")
    with uploading(address, 0) as upload:
        upload.write(bytes(PART))
        monkeypatch.setattr("burnish.records.io.remote.upload._stream_to", None)

    monkeypatch.undo()
    assert content("memory://upload/whole") == bytes(PART)


def test_a_url_may_be_saved_to_while_the_program_goes_on() -> None:
    module = nn.Linear(30, 20)
    url = "memory://upload/later.mpk"

    handle = burnish.save_record(module, url, wait=False)

    assert assert_type(handle.wait(), Path | Url) == url
    assert torch.equal(burnish.open_record(url)["weight"], module.weight)
    assert handle.place == url


def test_the_name_has_to_agree_with_what_is_written() -> None:
    with pytest.raises(ValueError, match="says"):
        burnish.save_record(
            nn.Linear(2, 2), "memory://upload/a.json", recorder=Recorder()
        )
    with pytest.raises(ValueError, match="the suffix must be that of a format"):
        burnish.save_record(nn.Linear(2, 2), "memory://upload/a")
