"""Torch's modes for a block, put back whatever interrupts that."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

import torch

from ...config.interrupts import uninterrupted

_Mode: TypeAlias = AbstractContextManager[Any, Any]


@contextmanager
def on_device(device: torch.device | str | None) -> Generator[None]:
    """Let constructors make tensors on ``device``, as ``with torch.device(...)`` does.

    None changes nothing.
    """
    if device is None:
        yield
        return
    with in_force(torch.device(device)):
        yield


@contextmanager
def in_force(mode: _Mode) -> Generator[None]:
    """Enter a mode of torch, as ``with mode`` does.

    That one stays in force if Ctrl-C comes at its end, and every later call of torch
    would pass there: new tensors would be on the meta device.
    """
    entered: list[_Mode] = []
    # An interrupt may come in place of either call, and the other is made.
    try:
        try:
            with uninterrupted():
                # Entered and noted in one call, so that nothing comes between.
                entered.extend(map(type(mode).__enter__, (mode,)))
            yield
        finally:
            _leave(entered)
    finally:
        _leave(entered)


def _leave(entered: list[_Mode]) -> None:
    with uninterrupted():
        if entered:
            entered.pop().__exit__(None, None, None)
