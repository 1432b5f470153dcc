"""Writing: whole or not at all, whatever happens."""

import errno
import io
import os
import signal
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import FlatRecord, Record, open_record

from ...fresh_processes import FreshProcess


def record(value: float, size: int = 1000) -> FlatRecord:
    return Record.from_state_dict({"w": torch.full((size,), value)})


def temporaries(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.suffix == ".tmp"]


def test_a_failed_save_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    file = tmp_path / "model.mpk"
    record(1.0).save(file)
    before = file.read_bytes()

    with pytest.raises(Exception, match="does not fit float16"):
        record(1e9).save(file, precision="half")

    assert file.read_bytes() == before
    assert temporaries(tmp_path) == []


def test_a_full_disk_is_said_so_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.mpk"
    record(1.0).save(file)

    def full(fd: int, buffers: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"the disk is full.*model\.mpk") as caught:
        record(2.0).save(file)
    monkeypatch.undo()

    assert caught.value.errno == errno.ENOSPC
    assert open_record(file)["w"][0] == 1.0
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("call", ["write", "writev", "fsync", "replace", "open"])
def test_whichever_call_fails_the_old_file_stays(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.mpk"
    record(1.0).save(file)
    real, n = getattr(os, call), 0
    for n in range(1, 20):
        calls = 0

        def failing(*args: object, n: int = n, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == n:
                raise OSError(errno.EIO, "Input/output error")
            return real(*args, **kwargs)

        monkeypatch.setattr(os, call, failing)
        try:
            record(float(n + 1)).save(file)
        except OSError:
            monkeypatch.undo()
            # Only a failure after the rename may leave the new file.
            assert open_record(file)["w"][0] in (1.0, n + 1.0)
            assert temporaries(tmp_path) == []
            continue
        finally:
            monkeypatch.undo()
        if calls < n:
            break
        record(1.0).save(file)
    assert torch.equal(open_record(file)["w"], torch.full((1000,), n + 1.0))


def test_a_write_that_takes_only_a_part_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write, real_writev = os.write, os.writev

    def short_write(fd: int, data: memoryview) -> int:
        return real_write(fd, data[: max(1, len(data) // 3)])

    def short_writev(fd: int, buffers: list[bytes]) -> int:
        whole = b"".join(bytes(b) for b in buffers)
        return real_write(fd, whole[: max(1, len(whole) // 2)])

    monkeypatch.setattr(os, "write", short_write)
    monkeypatch.setattr(os, "writev", short_writev)
    record(3.0).save(tmp_path / "a.mpk")
    monkeypatch.undo()

    assert real_writev is os.writev
    assert torch.equal(open_record(tmp_path / "a.mpk")["w"], torch.full((1000,), 3.0))


def test_an_unwritable_folder_and_a_missing_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder .*/none does not exist"):
        record(1.0).save(tmp_path / "none" / "model.mpk")
    (tmp_path / "taken.mpk").mkdir()
    with pytest.raises(IsADirectoryError, match="a folder is in the way"):
        record(1.0).save(tmp_path / "taken.mpk")


def test_the_mode_of_the_old_file_and_a_link_to_it_are_kept(tmp_path: Path) -> None:
    file, link = tmp_path / "model.mpk", tmp_path / "latest.mpk"
    record(1.0).save(file)
    file.chmod(0o640)
    link.symlink_to(file.name)

    record(2.0).save(link)

    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert open_record(file)["w"][0] == 2.0


def test_the_next_save_removes_what_a_dead_writer_left(tmp_path: Path) -> None:
    file = tmp_path / "model.mpk"
    litter = tmp_path / ".model.mpk.0a1b2c3d.tmp"
    other = tmp_path / ".other.mpk.0a1b2c3d.tmp"
    litter.write_bytes(b"half a file")
    other.write_bytes(b"of another name")

    record(1.0).save(file)

    assert not litter.exists()
    assert other.exists()


def test_a_living_writers_temporary_is_left_alone(tmp_path: Path) -> None:
    import fcntl

    file, living = tmp_path / "model.mpk", tmp_path / ".model.mpk.0a1b2c3d.tmp"
    with living.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        record(1.0).save(file)

        assert living.exists()


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "model.mpk"
    failures: list[BaseException] = []

    def write(value: float) -> None:
        try:
            for _ in range(15):
                record(value, 50_000).save(file)
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        try:
            for _ in range(40):
                if file.exists():
                    found = open_record(file)["w"]
                    assert bool((found == found[0]).all())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(float(i),)) for i in range(3)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert temporaries(tmp_path) == []


KILLED = """
import sys, torch
from burnish.records import Record
print("ready", flush=True)
i = 0
while True:
    i += 1
    Record.from_state_dict({"w": torch.full((300_000,), float(i))}).save(sys.argv[1])
"""


def test_a_killed_writer_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    file = tmp_path / "model.mpk"
    record(0.0, 300_000).save(file)
    for round_ in range(3):
        child = FreshProcess("-c", KILLED, file, piped=True)
        assert child.stdout.readline() == b"ready\n"
        for _ in range(200 * (round_ + 1)):
            open_record(file).close()
        child.send_signal(signal.SIGKILL)
        child.communicate()

        found = open_record(file)["w"]
        assert bool((found == found[0]).all())

    record(-1.0).save(file)
    assert temporaries(tmp_path) == []


class Trickle(io.RawIOBase):
    """A raw file that takes three bytes at a time."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))[:3]  # type: ignore[arg-type]  # any buffer
        self.content += piece
        return len(piece)


def test_any_binary_file_object_can_be_written(tmp_path: Path) -> None:
    memory, raw = io.BytesIO(), Trickle()

    record(4.0, 10).save(memory)
    record(4.0, 10).save(raw)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # a raw file is enough

    assert memory.getvalue() == raw.content
    assert torch.equal(open_record(memory.getvalue())["w"], torch.full((10,), 4.0))


def test_a_device_is_written_and_not_replaced() -> None:
    from burnish.records import Recorder

    Recorder().save(record(1.0), "/dev/null")

    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_progress_is_told_bytes_and_paths() -> None:
    told: list[tuple[int, int, str]] = []
    made = Record.from_state_dict({"a": torch.ones(4), "b": torch.ones(1_000_000)})

    made.save(io.BytesIO(), progress=lambda *step: told.append(step))

    assert told == [(16, 4_000_016, "a"), (4_000_016, 4_000_016, "b")]


def test_a_url_is_not_taken_for_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "memory:").mkdir()

    record(1.0).save("memory://w.mpk")

    assert not [*(tmp_path / "memory:").iterdir()]


def test_an_upload_that_fails_leaves_the_object_that_was_there() -> None:
    fsspec: Any = pytest.importorskip("fsspec")
    from ..object_storage import CountingStorage

    url = "counting://run/net.mpk"
    large = Record.from_state_dict({f"a{i}": torch.ones(1 << 19) for i in range(4)})
    with fsspec.open(url, "wb") as file:
        large.save(file)
    before = CountingStorage.objects["run/net.mpk"]

    def fail(done: int, total: int, path: str) -> None:
        if done == total:
            raise ValueError("at the end")

    def overwrite() -> None:
        with fsspec.open(url, "wb") as file:
            record(2.0, 1 << 22).save(file, progress=fail)

    with pytest.raises(ValueError, match="at the end"):
        overwrite()

    assert CountingStorage.objects["run/net.mpk"] == before
    assert torch.equal(open_record(url)["a3"], torch.ones(1 << 19))


class Counted(io.BytesIO):
    """A stream that counts the calls that fill it."""

    n_calls = 0

    def write(self, buffer: Any) -> int:
        """Take all of ``buffer``."""
        self.n_calls += 1
        return super().write(buffer)


def test_many_small_tensors_reach_a_stream_in_few_calls_and_in_order() -> None:
    many = Record.from_state_dict({f"w.{i}": torch.randn(8) for i in range(2000)})
    file = Counted()

    many.save(file)

    assert file.getvalue() == many.save()
    assert file.n_calls < 100


def test_a_pipe_that_does_not_wait_for_its_reader_is_refused_when_it_is_full() -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)

    with (
        os.fdopen(read_fd, "rb"),
        os.fdopen(write_fd, "wb", buffering=0) as file,
        pytest.raises(BlockingIOError, match=r"bytes would be lost; .*set_blocking"),
    ):
        record(1.0, 1_000_000).save(file)


@pytest.mark.parametrize("answer", [0, -1, 1 << 40, "all", True])
def test_a_file_that_says_what_it_cannot_have_written_is_refused(answer: Any) -> None:
    class Liar(io.BytesIO):
        def write(self, buffer: Any) -> Any:
            super().write(buffer)
            return answer

    with pytest.raises(OSError, match=f"returned {answer!r}"):
        record(1.0).save(Liar())


def test_a_file_that_returns_nothing_has_written_all() -> None:
    class Silent(io.BytesIO):
        def write(self, buffer: Any) -> Any:
            super().write(buffer)

    file = Silent()

    record(1.0).save(file)

    assert file.getvalue() == record(1.0).save()
