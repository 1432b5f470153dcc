"""Signals that come while something must not stop halfway."""

import ast
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from burnish.config.process.interrupts import (
    has_handlers,
    leaving_nothing_open,
    raise_of_signal,
    suppressed,
    uninterrupted,
)
from burnish.train.checkpoints.end_signal import EndSignal


def test_ctrl_c_is_raised_after_the_block_and_the_handler_stays() -> None:
    handler = signal.getsignal(signal.SIGINT)
    steps: list[str] = []

    def interrupted() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            with uninterrupted():
                steps.append("inner")
            steps.append("outer")
        steps.append("after")

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert steps == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)

        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)


def test_only_what_is_no_part_of_python_is_a_handler_that_may_change_things() -> None:
    before = has_handlers()
    handler = signal.signal(signal.SIGWINCH, lambda *_: None)
    try:
        assert has_handlers()
    finally:
        signal.signal(signal.SIGWINCH, handler)

    assert has_handlers() == before
    assert not before


@pytest.mark.parametrize("is_replaced", [False, True])
def test_the_handler_of_torch_changes_nothing_but_by_one_that_it_replaced(
    is_replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.data._utils import signal_handling

    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    own = (lambda *_: None) if is_replaced else signal.SIG_DFL
    before = signal.signal(signal.SIGCHLD, own)
    try:
        signal_handling._set_SIGCHLD_handler()  # pyright: ignore[reportPrivateUsage]  # of torch

        assert callable(signal.getsignal(signal.SIGCHLD))
        assert has_handlers() is is_replaced
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_handlers_of_ours_change_nothing() -> None:
    end_signal = EndSignal(signal.SIGUSR2)
    try:
        assert callable(signal.getsignal(signal.SIGUSR2))
        assert not has_handlers()
    finally:
        end_signal.release()


def test_other_threads_need_nothing() -> None:
    done: list[bool] = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert done == [True]


class _AtEndOfBlock:
    """Raises KeyboardInterrupt as `contextlib` begins to leave a block."""

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        if event == "call" and frame.f_code.co_name == "__exit__":
            raise KeyboardInterrupt


def test_a_block_that_an_interrupt_left_ends_while_its_traceback_is_kept() -> None:
    ended: list[str] = []

    @contextmanager
    def block(name: str) -> Generator[None]:
        try:
            yield
        finally:
            ended.append(name)

    @leaving_nothing_open
    def work() -> None:
        with block("outer"), block("inner"):
            sys.setprofile(_AtEndOfBlock())

    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            work()
    finally:
        sys.setprofile(None)

    assert caught.traceback
    assert sorted(ended) == ["inner", "outer"]


class _Limit:
    def __call__(self, number: int, frame: Any) -> None:
        raise TimeoutError("over")


def _limit(number: int, frame: Any) -> None:
    raise TimeoutError("over")


@pytest.mark.parametrize(
    "handler", [_limit, _Limit(), _Limit().__call__, partial(_limit)]
)
def test_what_the_handler_of_a_signal_raises_is_told_from_a_function_s_own(
    handler: Any,
) -> None:
    old_handler = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(TimeoutError) as own_error:
            raise TimeoutError("own")
        raise_of_signal(own_error.value)

        with pytest.raises(TimeoutError) as error:
            os.kill(os.getpid(), signal.SIGALRM)
        with pytest.raises(TimeoutError, match="over"):
            raise_of_signal(error.value)
    finally:
        signal.signal(signal.SIGALRM, old_handler)


@pytest.mark.parametrize("kind", [TimeoutError, RuntimeError, ValueError])
def test_what_is_suppressed_is_nothing_that_a_handler_raises(
    kind: type[Exception],
) -> None:
    def over(*_: object) -> None:
        raise kind("over")

    old_handler = signal.signal(signal.SIGALRM, over)
    try:
        with suppressed(OSError, RuntimeError, ValueError):
            raise kind("own")

        with pytest.raises(kind, match="over"), suppressed(Exception):
            os.kill(os.getpid(), signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, old_handler)


def test_what_is_suppressed_is_nothing_else() -> None:
    with pytest.raises(KeyError), suppressed(OSError):
        raise KeyError


ROOT = Path(__file__).parents[3]
RAISED_BY_HANDLERS = {"Exception", "OSError", "RuntimeError"}
TELLING = {"raise_of_signal"}
PASSING_ON = {
    "config/process/streams.py": "keeps it for the end, and writes nothing more",
    "config/process/transaction.py": "undoes changes, which no signal interrupts",
    "records/io/helpers.py": "starts a thread, which no signal interrupts",
    "records/io/save_handle.py": "starts a thread, which no signal interrupts",
    "records/processes/agreement.py": "has other processes hear of it, and raises it",
}
"""What catches such errors and asks nobody whose they are, and why it may."""


@pytest.mark.parametrize("folder", ["config", "records", "core", "optim", "train"])
def test_nothing_takes_what_a_handler_raises_for_a_fault_of_data(folder: str) -> None:
    catches = {
        f"{name}:{getattr(node, 'lineno', 0)}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        if (name := file.relative_to(ROOT).as_posix()) not in PASSING_ON
        for node in ast.walk(ast.parse(file.read_text()))
        if _takes_any(node)
    }

    assert not catches, "raise_of_signal(error) says whose it is, or `suppressed`"


def _takes_any(node: ast.AST) -> bool:
    """Return whether a node catches what handlers raise, and goes on with it."""
    if isinstance(node, ast.Call):
        is_suppress = "suppress" in _names([node.func])
        return is_suppress and not RAISED_BY_HANDLERS.isdisjoint(_names(node.args))
    if not isinstance(node, ast.ExceptHandler) or node.type is None:
        return False
    if RAISED_BY_HANDLERS.isdisjoint(_names([node.type])):
        return False
    inner = [*ast.walk(node)]
    calls = [each.func for each in inner if isinstance(each, ast.Call)]
    raises_it = any(isinstance(each, ast.Raise) and not each.exc for each in inner)
    return not raises_it and TELLING.isdisjoint(_names(calls))


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    inner = (each for node in nodes for each in ast.walk(node))
    return {each.id for each in inner if isinstance(each, ast.Name)}
