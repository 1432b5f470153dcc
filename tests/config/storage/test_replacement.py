"""Replaced files: one writer at a time, with what belonged to the old one."""

import errno
import os
import secrets
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.forked_processes import status_of_fork

from burnish.config import dump
from burnish.config.storage import scratch
from burnish.config.storage.replacement import make_folder, replacement, write_file

from ...irregular_files import make_irregular, no_waiting


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize(
    "name",
    [
        "x" * 255,
        "ü" * 127,
        "日" * 85,
        "a\nb\tc *?[x]",
        os.fsdecode(b"not\xff\xfeutf8"),
        os.fsdecode(b"\xe3" * 255),
    ],
)
def test_any_name_that_a_file_can_have_is_written_and_swept(
    name: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    litter = scratch.scratch_name(name)
    (tmp_path / litter).write_bytes(b"half")

    write_file(file, b"one")
    write_file(file, b"two")

    assert file.read_bytes() == b"two"
    assert names(tmp_path) == [name]


def test_a_path_as_long_as_the_system_takes_is_written(tmp_path: Path) -> None:
    folder = str(tmp_path)
    while len(folder) < 4095 - 200:
        folder += "/" + "d" * 100
    os.makedirs(folder)
    file = folder + "/" + "f" * (4095 - len(folder) - 1)

    write_file(file, b"deep")

    assert names(Path(folder)) == [os.path.basename(file)]


def test_a_path_that_is_bytes_or_relative_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    write_file("relative", b"1")
    write_file(b"bytes", b"2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # users pass anything

    assert names(tmp_path) == ["bytes", "relative"]


@pytest.mark.parametrize("kind", ["pipe", "link", "dangling", "folder", "socket"])
def test_what_is_planted_under_a_temporarys_name_is_neither_waited_for_nor_removed(
    kind: str, tmp_path: Path
) -> None:
    file, planted = tmp_path / "f", tmp_path / ".f.0a1b2c3d.tmp"
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    plant(kind, planted, target)

    with no_waiting():
        write_file(file, b"new")

    assert file.read_bytes() == b"new"
    assert os.path.lexists(planted)
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("kind", ["pipe", "link", "dangling", "folder", "file"])
def test_a_temporarys_name_that_is_taken_is_not_used(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, planted = tmp_path / "f", tmp_path / ".f.00000000.tmp"
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    plant(kind, planted, target)
    monkeypatch.setattr(secrets, "token_hex", lambda _: "00000000")

    with pytest.raises(FileExistsError, match=r"/f'"), no_waiting():
        write_file(file, b"new") if kind != "file" else held(planted)

    assert not file.exists()
    assert os.path.lexists(planted)
    assert target.read_bytes() == b"precious"


def held(living: Path) -> None:
    with living.open("rb") as stream:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX)
        write_file(living.with_name("f"), b"new")


def plant(kind: str, place: Path, target: Path) -> None:
    if kind == "file":
        place.write_bytes(b"")
    elif kind in ("link", "dangling"):
        place.symlink_to(target if kind == "link" else "nowhere")
    else:
        make_irregular(kind, place)
        if kind == "folder":
            (place / "content").touch()


def test_a_pipe_without_a_reader_is_an_error_and_with_one_gets_the_content(
    tmp_path: Path,
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(OSError, match="no program is reading"), no_waiting():
        write_file(pipe, b"lost")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, b"content")

    assert os.read(reader, 100) == b"content"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)


def test_a_link_to_an_open_pipe_is_written_to(tmp_path: Path) -> None:
    reader, writer = os.pipe()

    write_file(f"/proc/self/fd/{writer}", b"content")

    assert os.read(reader, 100) == b"content"
    os.close(reader)
    os.close(writer)


def test_links_stay_and_lead_to_the_new_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = tmp_path / "first", tmp_path / "a" / "second"
    first.symlink_to("a/second")
    second.symlink_to("../b/file")
    loop = tmp_path / "loop"
    loop.symlink_to("loop")

    write_file(first, b"one")
    write_file(first, b"two")

    assert first.is_symlink()
    assert second.is_symlink()
    assert names(tmp_path / "b") == ["file"]
    assert (tmp_path / "b" / "file").read_bytes() == b"two"
    with pytest.raises(OSError, match="leads back to itself"):
        write_file(loop, b"")


def test_another_name_of_the_same_file_keeps_the_old_content(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    write_file(file, b"old")
    os.link(file, other)

    write_file(file, b"new")

    assert (file.read_bytes(), other.read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o4755, 0o000])
def test_a_temporary_is_private_from_its_first_moment_and_the_mode_stays(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_file(file, b"old")
    file.chmod(mode)
    modes: list[int] = []
    real = os.open

    def watched(path: str, flags: int, *args: int, **kwargs: int) -> int:
        fd = real(path, flags, *args, **kwargs)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        return fd

    monkeypatch.setattr(os, "open", watched)
    umask = os.umask(0)
    try:
        write_file(file, b"new")
    finally:
        os.umask(umask)

    assert modes == [0o600]
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.parametrize("is_behind_link", [False, True])
def test_a_write_protected_file_is_refused_and_stays(
    tmp_path: Path, is_behind_link: bool
) -> None:
    target = file = tmp_path / "best.mpk"
    target.write_bytes(b"the best")
    target.chmod(0o444)
    if is_behind_link:
        file = tmp_path / "link.mpk"
        file.symlink_to(target.name)
    tmp_path.chmod(0o777)

    def write() -> None:
        os.chdir(tmp_path)  # the folders above may be read by their owner alone
        if not os.geteuid():
            os.seteuid(65534)  # root may write to anything
        with pytest.raises(PermissionError, match=r"write-protected.*chmod u\+w"):
            write_file(file.name, b"a worse one")

    assert status_of_fork(write) == 0
    assert target.read_bytes() == b"the best"
    assert len(names(tmp_path)) == 1 + is_behind_link


def test_a_new_file_gets_the_mode_that_the_umask_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    umask = os.umask(0o027)
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("umask is the process's"))
    try:
        write_file(tmp_path / "file", b"")
    finally:
        monkeypatch.undo()
        os.umask(umask)

    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_owner_and_group_stay(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_file(file, b"old")
    os.chown(file, 1234, 4321)
    file.chmod(0o640)

    write_file(file, b"new")

    status = file.stat()
    assert (status.st_uid, status.st_gid) == (1234, 4321)
    assert stat.S_IMODE(status.st_mode) == 0o640


def test_a_group_that_cannot_be_kept_gives_no_rights_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_file(file, b"old")
    if os.getuid() == 0:
        os.chown(file, 1234, 4321)
    file.chmod(0o6664)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refused)
    write_file(file, b"new")

    expected = 0o644 if os.getuid() == 0 else 0o6664
    assert stat.S_IMODE(file.stat().st_mode) == expected


def test_attributes_stay(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_file(file, b"old")
    try:
        os.setxattr(file, "user.note", b"kept")
    except OSError:
        pytest.skip("this file system has no attributes")

    write_file(file, b"new")

    assert os.getxattr(file, "user.note") == b"kept"


def test_a_folder_that_cannot_be_listed_takes_files(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    folder.chmod(0o300)

    write_file(folder / "file", b"content")

    folder.chmod(0o700)
    assert names(folder) == ["file"]


def test_a_file_system_without_locks_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    write_file(tmp_path / "file", b"content")

    assert names(tmp_path) == ["file"]


def test_a_temporary_whose_lock_is_refused_is_left_and_another_one_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = scratch.lock, [False, False]

    def refused(opened: object, **options: bool) -> bool:
        # Somebody else took it for an abandoned one, and removes it.
        if refusals:
            os.unlink(next(tmp_path.glob(".file.*.tmp")))
            return refusals.pop()
        return real(opened, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # passed on

    monkeypatch.setattr(scratch, "lock", refused)
    write_file(tmp_path / "file", b"content")

    assert (tmp_path / "file").read_bytes() == b"content"
    assert names(tmp_path) == ["file"]


def test_many_writers_leave_one_whole_file_and_no_temporary(tmp_path: Path) -> None:
    file = tmp_path / "file"

    def write(seed: int) -> None:
        for i in range(40):
            write_file(file, bytes([seed]) * (1000 + i))

    children = [fork(write, seed) for seed in (1, 2)]
    problems: list[BaseException] = []

    def guarded(seed: int) -> None:
        try:
            write(seed)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(seed,)) for seed in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    content = file.read_bytes()
    assert content == content[:1] * len(content)
    assert names(tmp_path) == ["file"]


def fork(action: Callable[[int], object], seed: int) -> int:
    child = os.fork()
    if not child:
        status = 1
        with suppress(BaseException):
            action(seed)
            status = 0
        os._exit(status)
    return child


def test_an_error_that_names_another_file_is_not_explained_as_ones_own(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"):  # noqa: SIM117
        with replacement(tmp_path / "file"):
            open(tmp_path / "elsewhere").close()

    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_to_note_the_new_name_is_an_error_that_owns_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    write_file(tmp_path / "file", b"old")
    real = os.fsync

    def failing(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(code, os.strerror(code))
        real(fd)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="the disk reports an error") as caught:
        write_file(tmp_path / "file", b"new")

    assert caught.value.errno == code
    assert "unchanged" not in str(caught.value)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_home_folder_that_nobody_has_expanded_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(FileNotFoundError, match=r"use os\.path\.expanduser"):
        dump({"a": 1}, "~/config.json")


@pytest.mark.parametrize(
    ("stand", "words"),
    [
        (lambda place: place.symlink_to("gone"), "a link to gone, which is missing"),
        (lambda place: place.write_bytes(b""), "something other than a folder"),
        (os.mkfifo, "something other than a folder"),
    ],
    ids=["link", "file", "pipe"],
)
def test_what_stands_where_a_folder_should_be_is_told(
    tmp_path: Path, stand: Callable[[Path], object], words: str
) -> None:
    stand(tmp_path / "folder")

    with pytest.raises(NotADirectoryError, match=words):
        make_folder(str(tmp_path / "folder"))


def test_a_link_into_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone/file")

    with (
        pytest.raises(FileNotFoundError, match=r"link is a link to it") as error,
        replacement(str(tmp_path / "link")),
    ):
        pass

    assert error.value.filename == "gone/file"
