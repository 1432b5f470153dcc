"""Signals that come while something must not stop halfway."""

import os
import re
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from burnish.config.process.interrupts import (
    leaving_nothing_open,
    raise_of_signal,
    uninterrupted,
)


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


ROOT = Path(__file__).parents[3]
PASSING_ON = {"records/processes/agreement.py", "train/checkpoints/checkpoints.py"}
"""What catches everything for a moment, and raises it."""


@pytest.mark.parametrize("folder", ["core/state", "records", "train/checkpoints"])
def test_no_handler_of_all_errors_takes_that_of_a_signal_for_one_of_data(
    folder: str,
) -> None:
    catches = re.compile(r"except Exception\b.*:.*\n(?!\s+raise_of_signal\(\w+\)\n)")

    files = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / folder).rglob("*.py")
        if catches.search(file.read_text())
    }

    assert files <= PASSING_ON
