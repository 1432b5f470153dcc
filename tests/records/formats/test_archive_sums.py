import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from burnish.core.pretrained.shards import open_shards
from burnish.records import FlatRecord, RecordError, open_record
from burnish.records.errors import RecordChecksumError
from burnish.records.formats.archive_sums import check_archive_sums

CONTENT = {"a": torch.ones(8), "b": torch.arange(64)}


def test_every_member_is_compared_and_the_one_that_differs_named(
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.pt"
    torch.save(CONTENT, file)
    assert check_archive_sums(str(file))
    data = bytearray(file.read_bytes())
    data[data.index(CONTENT["b"].numpy().tobytes()) + 8] ^= 1
    file.write_bytes(data)

    with pytest.raises(RecordError, match="x/data/1"):
        check_archive_sums(str(file))


def _with_an_odd_name(data: bytes) -> bytes:
    """Return the archive with a name that is flagged as UTF-8 and is none."""
    out = bytearray(data)
    at = data.index(b"PK\x03\x04", 4)
    out[at + 6 : at + 8] = (0x800).to_bytes(2, "little")
    out[at + 30] = 0xB3
    return bytes(out)


@pytest.mark.parametrize(
    "damage",
    [_with_an_odd_name, lambda data: data[:-30], lambda data: data[:4] + bytes(100)],
    ids=["name", "end", "zeros"],
)
def test_whatever_zipfile_raises_is_said_of_the_file(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    file = tmp_path / "x.pt"
    torch.save(CONTENT, file)
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(RecordError, match=r"x\.pt"):
        check_archive_sums(str(file))


def test_an_archive_without_sums_is_read_and_said_to_have_none(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CONTENT, file)
    finally:
        torch.serialization.set_crc32_options(True)

    assert not check_archive_sums(str(file))
    with open_record(file) as record:
        assert record["b"].equal(CONTENT["b"])


def test_what_is_no_archive_has_no_sums(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"hello")

    assert not check_archive_sums(str(tmp_path / "x.pt"))
    assert not check_archive_sums(str(tmp_path / "missing.pt"))


def damaged(file: Path) -> Path:
    """Return a file of torch in which a bit of ``b`` is another one."""
    torch.save(CONTENT, file)
    data = bytearray(file.read_bytes())
    data[data.index(CONTENT["b"].numpy().tobytes()) + 8] ^= 1
    file.write_bytes(data)
    return file


WRITES: dict[str, Callable[[FlatRecord, Path], object]] = {
    "save": lambda record, folder: record.save(folder / "y.mpk"),
    "a selection": lambda record, folder: record.select(only="a").save(
        folder / "y.mpk"
    ),
    "bytes": lambda record, folder: record.save(),
    "a folder": lambda record, folder: record.save(f"{folder}/y/"),
    "a clone": lambda record, folder: record.clone().save(folder / "y.mpk"),
}


@pytest.mark.parametrize("is_mapped", [True, False])
@pytest.mark.parametrize("write", WRITES)
def test_damaged_values_get_no_right_sums_in_another_file(
    write: str, is_mapped: bool, tmp_path: Path
) -> None:
    file = damaged(tmp_path / "x.pt")

    with pytest.raises(RecordChecksumError, match="x/data/1"):
        WRITES[write](open_record(file, mmap=is_mapped), tmp_path / "y.mpk")

    assert not (tmp_path / "y.mpk").exists()
    assert not (tmp_path / "y").exists()


def test_what_is_written_is_what_is_compared_though_the_file_is_gone(
    tmp_path: Path,
) -> None:
    record = open_record(damaged(tmp_path / "x.pt"))
    (tmp_path / "x.pt").unlink()

    with pytest.raises(RecordChecksumError):
        record.save(tmp_path / "y.mpk")


def test_who_waives_verification_gets_the_values_as_they_are(tmp_path: Path) -> None:
    file = damaged(tmp_path / "x.pt")

    for is_mapped in (True, False):
        with open_record(file, verify=False, mmap=is_mapped) as record:
            record.save(tmp_path / "y.mpk")
        with open_record(tmp_path / "y.mpk") as copy:
            assert copy["a"].equal(CONTENT["a"])
            assert not copy["b"].equal(CONTENT["b"])


def test_the_shards_of_torch_are_compared_as_well(tmp_path: Path) -> None:
    damaged(tmp_path / "pytorch_model-00001-of-00001.bin")
    index = {
        "metadata": {},
        "weight_map": dict.fromkeys(CONTENT, "pytorch_model-00001-of-00001.bin"),
    }
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    record = open_shards(str(tmp_path), str(tmp_path / "pytorch_model.bin.index.json"))

    with pytest.raises(RecordChecksumError):
        record.save(tmp_path / "y.mpk")
