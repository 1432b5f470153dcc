"""Folders that take the place of others: whole, or not at all."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from burnish.config.storage.opening import open_folder
from burnish.train.checkpoints import folders
from burnish.train.checkpoints.folders import (
    Folders,
    atomic_folder,
    make_run_folder,
    recover,
    remove_folder,
    turn,
)


def fill(folder: Path, text: str) -> None:
    with atomic_folder(folder) as scratch:
        (scratch / "content").write_text(text)


def names(root: Path) -> list[str]:
    return sorted(os.listdir(root))


def test_a_file_gives_way_to_a_folder_and_stays_if_that_fails(tmp_path: Path) -> None:
    place = tmp_path / "last.ckpt"
    place.write_text("old")

    with pytest.raises(KeyboardInterrupt), atomic_folder(place):
        raise KeyboardInterrupt
    assert place.read_text() == "old"
    fill(place, "new")

    assert (place / "content").read_text() == "new"
    assert names(tmp_path) == ["last.ckpt"]


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("n", [1, 2])
def test_an_interrupt_at_either_rename_leaves_one_of_the_two_folders(
    n: int, is_before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, calls = tmp_path / "step", 0
    fill(place, "old")

    def interrupted(call: str) -> None:
        real = getattr(os, call)

        def rename(*args: Any, **kwargs: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == n and is_before:
                raise KeyboardInterrupt
            real(*args, **kwargs)
            if calls == n:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, call, rename)

    interrupted("rename")
    interrupted("replace")
    with pytest.raises(KeyboardInterrupt):
        fill(place, "new")
    monkeypatch.undo()

    is_new = (n, is_before) == (2, False)
    assert (place / "content").read_text() == ("new" if is_new else "old")
    assert names(tmp_path) == ["step"]


def test_a_replacement_that_was_killed_is_undone_or_finished(tmp_path: Path) -> None:
    fill(tmp_path / ".a.0a1b2c3d.old", "old a")
    fill(tmp_path / ".b.0a1b2c3d.old", "old b")
    fill(tmp_path / "b", "new b")
    (tmp_path / ".c.0a1b2c3d.old").symlink_to("b")

    recover(tmp_path)

    assert names(tmp_path) == [".c.0a1b2c3d.old", "a", "b"]
    assert (tmp_path / "a" / "content").read_text() == "old a"
    assert (tmp_path / "b" / "content").read_text() == "new b"


def test_a_name_that_leaves_no_room_for_a_temporarys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the name is too long for a folder"):
        fill(tmp_path / ("ü" * 127), "")

    fill(tmp_path / ("ü" * 120), "")
    assert names(tmp_path) == ["ü" * 120]


def test_what_is_removed_is_gone_at_once_and_a_missing_folder_is_none(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "a", "x")

    remove_folder(tmp_path / "a")
    remove_folder(tmp_path / "a")

    assert names(tmp_path) == []


@pytest.mark.parametrize("meanwhile", ["removed", "put again"])
def test_what_other_writers_do_between_two_renames_fails_no_writer(
    meanwhile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, real = tmp_path / "step", os.rename
    fill(place, "old")

    def rename(source: Any, target: Any) -> None:
        monkeypatch.undo()
        if meanwhile == "put again":
            real(source, target)
            place.mkdir()
            (place / "content").write_text("another's")
        else:
            remove_folder(place)
            real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    fill(place, "new")

    assert (place / "content").read_text() == "new"
    assert names(tmp_path) == ["step"]


def test_nobody_recovers_what_a_living_writer_has_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / ".step.0a1b2c3d.old", "old")
    monkeypatch.setattr(folders, "_MOST_SECONDS", 0.0)

    with turn(open_folder(str(tmp_path))) as is_alone:
        recover(tmp_path)
        assert is_alone
        assert names(tmp_path) == [".step.0a1b2c3d.old"]
    recover(tmp_path)

    assert names(tmp_path) == ["step"]


def test_a_turn_is_over_although_a_forked_process_has_its_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_MOST_SECONDS", 0.0)
    parent = open_folder(str(tmp_path))
    reading, writing = os.pipe()
    with turn(parent):
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)

    with turn(open_folder(str(tmp_path))) as is_alone:
        os.close(writing)
        os.waitpid(child, 0)
    os.close(reading)

    assert is_alone


def test_a_folder_that_cannot_be_made_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(NotADirectoryError, match="this is a file; move it away"):
            make_run_folder(place)

    for code, words in [
        (
            errno.EACCES,
            "no folder can be created there: Permission denied; choose another",
        ),
        (
            errno.EROFS,
            "no folder can be created there: Read-only file system; choose anoth",
        ),
        (
            errno.ENOENT,
            "no folder can be created there; choose another folder for the run",
        ),
    ]:

        def refuse(*args: Any, code: int = code, **kwargs: Any) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "mkdir", refuse)
        with pytest.raises(OSError, match=words):
            make_run_folder(tmp_path / "run")


def test_a_folder_that_takes_no_files_is_told_before_the_first_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)

    with pytest.raises(PermissionError, match="no file can be written there"):
        make_run_folder(tmp_path)


def test_what_a_handler_of_signals_raises_goes_on_as_it_is(tmp_path: Path) -> None:
    run = folders.Folders(root=tmp_path, marker="marker")

    with pytest.raises(TimeoutError, match="limit"), run.new("step000000000001"):
        raise TimeoutError("limit")

    assert not [*tmp_path.iterdir()]


def test_the_only_folder_is_found_while_its_successor_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Folders(root=tmp_path, marker="content")
    fill(tmp_path / run.name(1), "old")
    real_listdir, n_saves = os.listdir, 1

    def listdir_during_a_save(folder: Any) -> list[str]:
        nonlocal n_saves
        listing = real_listdir(folder)
        if folder == tmp_path and n_saves < 3:
            n_saves += 1
            fill(tmp_path / run.name(n_saves), "new")
            remove_folder(tmp_path / run.name(n_saves - 1))
        return listing

    monkeypatch.setattr(os, "listdir", listdir_during_a_save)

    assert [*run.by_number()] == [3]
    remove_folder(tmp_path / run.name(3))
    assert not run.by_number()


@pytest.mark.parametrize("moment", [1, 2])
@pytest.mark.parametrize("n_older", [0, 1])
def test_a_folder_is_found_while_it_is_saved_again(
    n_older: int, moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Folders(root=tmp_path, marker="content")
    numbers = [*range(n_older + 1)]
    for number in numbers:
        fill(tmp_path / run.name(number), "old")
    real_listdir, n_listings = os.listdir, 0

    def listdir_during_a_save(folder: Any) -> list[str]:
        nonlocal n_listings
        n_listings += folder == tmp_path
        if n_listings == moment:
            newest = run.name(n_older)
            os.rename(tmp_path / newest, tmp_path / f".{newest}.01234567.old")
            n_listings += 1
        return real_listdir(folder)

    monkeypatch.setattr(os, "listdir", listdir_during_a_save)

    assert [*run.by_number()] == numbers
