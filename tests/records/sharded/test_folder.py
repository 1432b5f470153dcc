"""Parts of saves that are over go; those of one that goes on, or of the index, stay."""

import errno
import os
import signal
from pathlib import Path

import pytest
import torch

from burnish.records.sharded.folder import (
    RecordFolder,
    folder_named,
    is_record_folder,
)
from burnish.records.sharded.layout import Layout
from burnish.records.sharded.saving import part_file

from .folders import parts_of, write_folder

LAYOUT = Layout((2,), (0, 1), ((0, 0),))


def written(path: Path) -> RecordFolder:
    write_folder(path, {"a": torch.ones(4)}, LAYOUT, "1" * 8)
    for name in ("part-00000-of-00001.22222222.mpk", "part-1.mpk", "notes.txt"):
        (path / name).write_bytes(b"")
    return RecordFolder(path)


def test_parts_that_no_index_names_are_removed(tmp_path: Path) -> None:
    folder = written(tmp_path)

    folder.remove_old("3" * 8)

    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "index.mpk",
        "notes.txt",
        "part-00000-of-00002.11111111.mpk",
        "part-00001-of-00002.11111111.mpk",
        "part-1.mpk",
    ]


def test_parts_of_a_save_that_goes_on_stay(tmp_path: Path) -> None:
    folder = written(tmp_path)

    with folder.claim("2" * 8):
        folder.remove_old("3" * 8)
        assert len(parts_of(tmp_path)) == 4
    folder.remove_old("3" * 8)

    assert len(parts_of(tmp_path)) == 3


def test_parts_of_a_save_that_was_killed_are_removed(tmp_path: Path) -> None:
    folder = written(tmp_path)
    child = os.fork()
    if not child:
        with folder.claim("2" * 8):
            os._exit(0)
    os.waitpid(child, 0)
    assert [*tmp_path.glob(".save.*.tmp")]

    folder.remove_old("3" * 8)

    assert len(parts_of(tmp_path)) == 3
    assert not [*tmp_path.glob(".save.*.tmp")]


def test_a_part_that_the_index_names_is_never_removed(tmp_path: Path) -> None:
    folder = written(tmp_path)
    names = parts_of(tmp_path)

    folder.remove_parts([part_file(folder, name) for name in names if "111" in name])

    assert parts_of(tmp_path) == names


def test_a_folder_is_named_by_its_slash_or_by_its_index(tmp_path: Path) -> None:
    assert folder_named(f"{tmp_path}/net/") == f"{tmp_path}/net/"
    assert folder_named(tmp_path) is None
    assert folder_named(b"bytes") is None

    write_folder(tmp_path, {"a": torch.ones(4)}, LAYOUT)

    assert is_record_folder(tmp_path)
    assert folder_named(tmp_path) == str(tmp_path)


def test_a_limit_of_time_ends_the_removal_of_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(*_: object) -> None:
        raise TimeoutError("of a handler")

    folder = written(tmp_path)
    monkeypatch.setattr(
        os, "unlink", lambda *_, **__: signal.raise_signal(signal.SIGALRM)
    )
    handler = signal.signal(signal.SIGALRM, limit)
    try:
        with pytest.raises(TimeoutError, match="of a handler"):
            folder.remove_old("3" * 8)
    finally:
        signal.signal(signal.SIGALRM, handler)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "is not writable"),
        (errno.EROFS, "is read-only"),
        (errno.ENOSPC, "the disk is full"),
    ],
)
def test_a_folder_that_takes_no_files_is_told_by_its_own_name(
    number: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number), "x.tmp")

    monkeypatch.setattr("burnish.records.sharded.folder.Descriptor", refuse)

    with (
        pytest.raises(OSError, match=words) as error,
        RecordFolder(tmp_path).claim("01234567"),
    ):
        pass

    assert error.value.filename == str(tmp_path / "index.mpk")


def test_a_pipe_in_place_of_the_index_is_not_waited_for_and_all_parts_stay(
    tmp_path: Path,
) -> None:
    folder = written(tmp_path)
    (tmp_path / "index.mpk").unlink()
    os.mkfifo(tmp_path / "index.mpk")

    folder.remove_old("3" * 8)

    assert len([*tmp_path.glob("part-*-of-*")]) == 3
