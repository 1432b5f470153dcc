from pathlib import Path

import pytest
import torch

from burnish.records import RecordError, open_record
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
