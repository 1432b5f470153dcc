"""Locks that a forked child and a handler of signals find free."""

import ast
import threading
from pathlib import Path

from burnish.config.process.process_lock import ProcessLock

from ...forked_processes import status_of_fork

ROOT = Path(__file__).parents[3]

PLAIN_LOCKS = {
    # Nothing is called while it is held.
    "records/entries/entry.py",
    # A child leaves saves to its parent.
    "records/io/save_handle.py",
    "records/writing/lazy_snapshot.py",
    # The command's own, which forks nowhere.
    "cli/terminal.py",
    "train/fit/processes.py",
}
"""Where a plain lock is no danger, and why."""


def test_a_child_forked_while_another_thread_has_the_lock_finds_it_free() -> None:
    lock, is_held, may_end = ProcessLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock.here:
            is_held.set()
            may_end.wait()

    def take() -> None:
        with lock.here:
            pass

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    try:
        assert status_of_fork(take) == 0
    finally:
        may_end.set()
        thread.join()


def test_two_threads_of_a_process_have_it_one_after_the_other() -> None:
    lock, order = ProcessLock(), list[str]()

    def append() -> None:
        with lock.here:
            order.append("second")

    thread = threading.Thread(target=append)
    with lock.here:
        thread.start()
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_the_thread_that_has_it_may_enter_again_as_a_handler_of_signals_does() -> None:
    lock = ProcessLock()

    with lock.here:
        assert lock.here.acquire(blocking=False)
        lock.here.release()


def test_no_other_lock_is_used_where_a_fork_or_a_handler_may_find_it() -> None:
    plain: set[str] = set()
    for folder in ("config", "records", "core", "optim", "train", "cli"):
        for file in (ROOT / folder).rglob("*.py"):
            names = {
                node.attr
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Attribute)
            }
            if names & {"Lock", "RLock", "Condition"}:
                plain.add(str(file.relative_to(ROOT)))

    assert plain == PLAIN_LOCKS | {"config/process/process_lock.py"}
