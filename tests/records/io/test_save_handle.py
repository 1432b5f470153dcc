"""Handles of saves: what they return and raise, and what a fork and an end wait for."""

import os
import signal
import subprocess
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnish.records import SaveHandle
from burnish.records.io import save_handle

from ... import fresh_processes
from ...forked_processes import status_of_fork
from ..gates import LONG, Gate


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def started(write: Callable[[], object]) -> SaveHandle[object]:
    handle = SaveHandle(write, "place")
    handle.start()
    return handle


def test_a_handle_returns_what_was_written_once_that_is_done(gate: Gate) -> None:
    def write() -> int:
        gate()
        return 7

    handle = started(write)

    gate.wait_for_arrival()
    assert not handle.done()
    with pytest.raises(TimeoutError, match=r"place: not yet written after 0\.01 s"):
        handle.wait(timeout=0.01)
    gate.open()
    assert handle.wait(timeout=LONG) == 7
    assert handle.done()
    assert handle.wait() == 7


def test_who_was_interrupted_while_waiting_keeps_nobody_else_from_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(save_handle, "_LOOK", 0.001)
    # As Ctrl-C leaves it that comes behind the end of `acquire`.
    other = started(lambda: 7)
    other.wait(LONG)
    other._going_on.acquire()  # pyright: ignore[reportPrivateUsage]  # nobody else sees it
    other._has_ended = False  # pyright: ignore[reportPrivateUsage]
    waiter = threading.Thread(target=other.wait)
    waiter.start()
    other._has_ended = True  # pyright: ignore[reportPrivateUsage]
    waiter.join(LONG)

    assert not waiter.is_alive()


def test_an_error_is_raised_to_all_who_wait_and_is_then_no_news() -> None:
    handle = started(lambda: 1 / 0)
    handle.join()

    assert handle.has_unseen_error
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            handle.wait()
    assert not handle.has_unseen_error
    assert "failed" in repr(handle)


def test_an_error_holds_nothing_of_what_was_saved() -> None:
    class Large:
        pass

    snapshots: list[weakref.ref[Large]] = []

    def write() -> None:
        large = Large()
        snapshots.append(weakref.ref(large))
        raise OSError("full")

    handle = started(write)

    with pytest.raises(OSError, match="full"):
        handle.wait()
    assert snapshots[0]() is None


def test_without_a_thread_to_be_had_a_save_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    writers: list[threading.Thread] = []

    handle = started(lambda: writers.append(threading.current_thread()))

    assert handle.done()
    assert writers == [threading.current_thread()]


def test_at_the_end_of_a_program_a_save_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # In exit handlers the main thread counts as ended, and new threads are stopped.
    monkeypatch.setattr(threading, "main_thread", threading.Thread)
    writers: list[threading.Thread] = []

    handle = started(lambda: writers.append(threading.current_thread()))

    assert handle.done()
    assert writers == [threading.current_thread()]


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_what_a_handler_raises_as_a_save_begins_is_raised_and_it_goes_on(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(*_: object) -> None:
        raise kind("of the handler")

    n_writes: list[int] = []
    handle = SaveHandle(lambda: n_writes.append(1), "place")
    start = threading.Thread.start

    def start_and_be_interrupted(thread: threading.Thread) -> None:
        start(thread)
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(threading.Thread, "start", start_and_be_interrupted)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(kind, match="of the handler"):
            handle.start()
    finally:
        signal.signal(signal.SIGUSR1, before)

    handle.wait(LONG)
    assert n_writes == [1]


def test_nobody_waits_for_a_save_that_never_began() -> None:
    handle = SaveHandle(lambda: None, "place")

    handle.join()
    with pytest.raises(RuntimeError, match="never started"):
        handle.wait()


def test_a_save_does_not_wait_for_itself() -> None:
    handles: list[SaveHandle[object]] = []
    ready = threading.Event()

    def write() -> None:
        assert ready.wait(LONG)
        handles[0].wait()

    handles.append(started(write))
    ready.set()

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        handles[0].wait(LONG)


def test_a_fork_waits_for_the_save_that_goes_on(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = started(gate)
    gate.wait_for_arrival()
    waiting, statuses = threading.Event(), list[int]()
    join = SaveHandle[object].join

    def noted(handle: SaveHandle[object], timeout: float | None = None) -> None:
        waiting.set()
        join(handle, timeout)

    monkeypatch.setattr(SaveHandle, "join", noted)
    fork = threading.Thread(target=lambda: statuses.append(status_of_fork(handle.wait)))

    fork.start()
    assert waiting.wait(LONG)
    assert not statuses
    gate.open()
    fork.join(LONG)

    assert statuses == [0]


def test_a_child_that_was_forked_all_the_same_leaves_the_save_to_its_parent(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = started(gate)
    gate.wait_for_arrival()
    monkeypatch.setattr(save_handle, "_join_all", lambda: None)

    def check() -> None:
        assert handle.is_parents
        with pytest.raises(RuntimeError, match="belongs to process"):
            handle.wait()
        save_handle.join_saves("place")
        save_handle._print_errors()  # pyright: ignore[reportPrivateUsage]  # as Python does at its end

    assert status_of_fork(check) == 0
    assert not handle.done()


def test_who_looks_at_a_place_waits_for_what_is_written_there(gate: Gate) -> None:
    handle = started(gate)
    gate.wait_for_arrival()
    looks: list[bool] = []

    def look() -> None:
        save_handle.join_saves("place")
        looks.append(handle.done())

    save_handle.join_saves("elsewhere")
    looker = threading.Thread(target=look)
    looker.start()
    gate.open()
    looker.join(LONG)

    assert looks == [True]


PREPARE = """
import os, sys, threading, time
import torch, burnish

def until_the_end(*progress):
    while threading.main_thread().is_alive():
        time.sleep(0.01)

def fail(*progress):
    until_the_end()
    raise OSError(28, "No space left on device")
"""


def program(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    code = PREPARE + textwrap.dedent(text)
    return fresh_processes.run("-c", code, cwd=folder, finalize=True)


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst", ".json.gz"])
def test_the_end_of_a_program_waits_for_its_save(suffix: str, tmp_path: Path) -> None:
    result = program(
        tmp_path,
        f"""
        tensors = {{f"w{{i}}": torch.ones(300_000) for i in range(3)}}
        file = "net{suffix}"
        burnish.save_record(tensors, file, wait=False, progress=until_the_end)
        """,
    )

    assert result.stderr == ""
    assert result.returncode == 0
    import burnish

    assert float(burnish.open_record(tmp_path / f"net{suffix}")["w2"].sum()) == 300_000


def test_an_error_that_nobody_asked_for_is_printed_at_the_end(tmp_path: Path) -> None:
    result = program(
        tmp_path,
        """
        burnish.save_record({"w": torch.ones(3)}, "net.mpk")
        burnish.save_record({"w": torch.zeros(3)}, "net.mpk", wait=False, progress=fail)
        """,
    )

    assert "net.mpk was not saved, and wait() was never called" in result.stderr
    assert "No space left on device" in result.stderr
    assert os.listdir(tmp_path) == ["net.mpk"]


def test_an_error_is_printed_once_and_not_where_somebody_saw_it(tmp_path: Path) -> None:
    result = program(
        tmp_path,
        """
        def fail(*progress):
            raise OSError(28, "No space left on device")

        save = dict(wait=False, progress=fail)
        seen = burnish.save_record({"w": torch.ones(3)}, "seen.mpk", **save)
        try:
            seen.wait()
        except OSError:
            pass
        burnish.save_record({"w": torch.ones(3)}, "unseen.mpk", **save)
        """,
    )

    assert result.stderr.count("was not saved") == 1
    assert "unseen.mpk" in result.stderr


def test_a_program_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    result = program(
        tmp_path,
        """
        burnish.save_record({"w": torch.ones(3)}, "net.mpk")

        def kill(*progress):
            os.kill(os.getpid(), 9)

        burnish.save_record({"w": torch.zeros(3)}, "net.mpk", wait=False, progress=kill)
        time.sleep(60)
        """,
    )
    import burnish

    assert result.returncode == -9
    assert bool((burnish.open_record(tmp_path / "net.mpk")["w"] == 1).all())
    burnish.save_record({"w": [1]}, tmp_path / "net.mpk")
    assert os.listdir(tmp_path) == ["net.mpk"]
