"""A part is what the index says of it, or nothing of it is read."""

import shutil
from pathlib import Path

import pytest
import torch

from burnish import open_record
from burnish.records import RecordFormatError
from burnish.records.sharded.layout import Layout

from .folders import parts_of, write_folder

BY_ROWS = Layout((2,), (0, 1), ((0, 0),))


def test_a_part_of_another_save_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "new", {"a": torch.ones(4)}, BY_ROWS)
    write_folder(tmp_path / "old", {"a": torch.zeros(4)}, BY_ROWS)
    name = parts_of(tmp_path / "new")[1]
    shutil.copy(tmp_path / "old" / name, tmp_path / "new" / name)

    with pytest.raises(
        RecordFormatError, match="different content than the index says"
    ):
        _ = open_record(tmp_path / "new")["a"]


def test_a_record_that_was_saved_anew_since_it_was_opened_is_told(
    tmp_path: Path,
) -> None:
    write_folder(tmp_path / "a", {"a": torch.ones(4)}, BY_ROWS)
    write_folder(tmp_path / "b", {"a": torch.zeros(4)}, BY_ROWS)
    record = open_record(tmp_path / "a")
    (tmp_path / "a" / parts_of(tmp_path / "a")[0]).unlink()
    (tmp_path / "b" / "index.mpk").replace(tmp_path / "a" / "index.mpk")

    with pytest.raises(FileNotFoundError, match="open it again"):
        _ = record["a"]


def test_a_part_of_another_length_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": torch.ones(4)}, BY_ROWS)
    with (tmp_path / parts_of(tmp_path)[0]).open("ab") as file:
        file.write(b"0")

    with pytest.raises(RecordFormatError, match="as they were saved with it"):
        _ = open_record(tmp_path)["a"]


def test_an_index_that_lies_about_a_part_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", {"a": torch.ones(4)}, BY_ROWS)
    write_folder(tmp_path / "b", {"a": torch.ones(4, 2)}, BY_ROWS)
    # The index of the one beside the parts of the other, each whole by itself.
    data = (tmp_path / "b" / "index.mpk").read_bytes()
    assert data != (tmp_path / "a" / "index.mpk").read_bytes()
    (tmp_path / "a" / "index.mpk").write_bytes(data)

    with pytest.raises(RecordFormatError, match="different content"):
        _ = open_record(tmp_path / "a")["a"]


def test_an_index_that_is_read_from_memory_has_no_parts(tmp_path: Path) -> None:
    index = write_folder(tmp_path, {"a": torch.ones(4)}, BY_ROWS)

    with pytest.raises(RecordFormatError, match="Open it by its path"):
        _ = open_record(index.read_bytes())["a"]
