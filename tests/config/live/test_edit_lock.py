"""One writer at a time writes the config of a run."""

import errno
import fcntl
from pathlib import Path

import pytest

from burnish.config.live.edit_lock import edit_lock
from burnish.config.live.history import HISTORY


@pytest.mark.parametrize("has_history", [True, False])
def test_the_second_writer_is_told_that_the_first_one_is_still_there(
    tmp_path: Path, has_history: bool
) -> None:
    if has_history:
        (tmp_path / HISTORY).write_text("")

    with (
        edit_lock(tmp_path, wait_seconds=0) as first,
        edit_lock(tmp_path, wait_seconds=0) as second,
    ):
        assert (first, second) == (True, False)
    with edit_lock(tmp_path, wait_seconds=0) as third:
        assert third


def test_a_history_that_may_only_be_read_is_locked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from burnish.config.live import edit_lock as module
    from burnish.config.storage.opening import Descriptor

    def of_another_user(path: str, flags: int) -> Descriptor:
        if flags & 3:
            raise PermissionError(errno.EACCES, "it is of another user", path)
        return Descriptor(path, flags)

    (tmp_path / HISTORY).write_text("")
    monkeypatch.setattr(module, "Descriptor", of_another_user)

    with open(tmp_path / HISTORY) as history:
        fcntl.flock(history, fcntl.LOCK_EX)
        with edit_lock(tmp_path, wait_seconds=0) as is_ours:
            assert not is_ours


def test_without_locks_and_without_a_folder_nobody_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOTSUP, "this file system has none")

    monkeypatch.setattr("fcntl.flock", no_locks)

    for folder in (tmp_path, tmp_path / "gone"):
        with edit_lock(folder, wait_seconds=0) as is_ours:
            assert is_ours
