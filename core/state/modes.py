"""Torch's modes for a call or a block, put back whatever interrupts that."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias, TypeVar

import torch

from ...config.interrupts import uninterrupted
from ...records.grad_mode import grad_mode_after_errors

T = TypeVar("T")

_Mode: TypeAlias = AbstractContextManager[Any, Any]


def construct_on(device: torch.device | str | None, factory: Callable[[], T]) -> T:
    """Return what constructors make, with new tensors on ``device`` unless it is None.

    Torch's initializers leave the grad mode off if Ctrl-C comes at their end; it is as
    it was in any case.
    """
    with grad_mode_after_errors():
        if device is None:
            return factory()
        return call_under(torch.device(device), factory)


def call_under(mode: _Mode, function: Callable[[], T]) -> T:
    """Call ``function`` in a mode of torch, which has ended in any case afterwards.

    ``with mode`` leaves it in force if Ctrl-C comes at its end: new tensors would be
    on the meta device from then on. So may a context manager that is a generator: the
    one that an interrupt abandons is ended when Python frees it, in the middle of a
    mode that was entered since.
    """
    entered: list[_Mode] = []
    # An interrupt may come in place of either call, and the other is made.
    try:
        try:
            _enter(mode, entered)
            return function()
        finally:
            _leave(entered)
    finally:
        _leave(entered)


@contextmanager
def in_force(mode: _Mode) -> Generator[None]:
    """Enter a mode for a block that is no function; see `call_under`."""
    entered: list[_Mode] = []
    try:
        try:
            _enter(mode, entered)
            yield
        finally:
            _leave(entered)
    finally:
        _leave(entered)


def _enter(mode: _Mode, entered: list[_Mode]) -> None:
    with uninterrupted():
        # Entered and noted in one call, so that nothing comes between.
        entered.extend(map(type(mode).__enter__, (mode,)))


def _leave(entered: list[_Mode]) -> None:
    with uninterrupted():
        if entered:
            entered.pop().__exit__(None, None, None)
