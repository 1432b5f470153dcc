"""Torch's modes for a call or a block, ended whatever interrupts it."""

import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias, TypeVar

import torch

from ....config.process.interrupts import call_with_end, end_abandoned, uninterrupted
from ....records.tensors.grad_mode import grad_mode_after_errors
from ....records.tensors.torch_internals import modes_in_force, pop_mode, push_mode

T = TypeVar("T")

_Mode: TypeAlias = AbstractContextManager[Any, Any]


def construct_on(device: torch.device | str | None, factory: Callable[[], T]) -> T:
    """Return what a constructor creates, with new tensors on ``device`` if given.

    Torch's initializers leave the grad mode off if Ctrl-C comes at their end; it is
    restored in any case.
    """
    with grad_mode_after_errors():
        if device is None:
            return factory()
        return call_under(torch.device(device), factory)


def call_under(mode: _Mode, function: Callable[[], T]) -> T:
    """Call ``function`` in a mode of torch, which is ended in any case.

    ``with mode`` leaves it active if Ctrl-C comes at its end: new tensors would be on
    the meta device from then on. So may a generator as a context manager: one that an
    interrupt abandons is ended when Python frees it, in the middle of a mode entered
    since.
    """
    entered_mode = _Inner(mode)

    def run() -> T:
        entered_mode.enter()
        return function()

    return call_with_end(run, entered_mode.leave)


@contextmanager
def in_force(mode: _Mode) -> Generator[None]:
    """Enter a mode for a block that is not a function; see `call_under`."""
    entered_mode = _Inner(mode)
    # An interrupt may replace one of the two calls; the other is still made.
    try:
        try:
            entered_mode.enter()
            yield
        finally:
            with uninterrupted():
                entered_mode.leave()
    finally:
        with uninterrupted():
            entered_mode.leave()


class _Inner:
    """A mode of torch, and the modes that are active inside it."""

    def __init__(self, mode: _Mode) -> None:
        self._mode = mode
        self._entered: list[_Mode] = []
        self._stack: list[Any] | None = None

    def enter(self) -> None:
        with uninterrupted():
            # Entered and recorded in one call, so that nothing comes between.
            self._entered.extend(map(type(self._mode).__enter__, (self._mode,)))
            self._stack = modes_in_force()

    def leave(self) -> None:
        if self._entered:
            self._put_back_what_was_lost()
            self._entered.pop().__exit__(None, None, None)

    def _put_back_what_was_lost(self) -> None:
        """Make the active modes those that were active when this one was entered.

        Torch pops a mode while it handles a call. A generator pushes it again, which
        Ctrl-C may abandon: that one ends when the traceback is freed, and would push a
        mode long after its end.
        """
        stack = self._stack
        if stack is None or modes_in_force() == stack:
            return
        error = sys.exception()
        if error is not None:
            end_abandoned(error)
        if modes_in_force() != stack:
            for _ in modes_in_force():
                pop_mode()
            for mode in stack:
                push_mode(mode)
