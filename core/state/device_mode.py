"""The device of new tensors for a block, put back whatever interrupts that."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

import torch

from ...config.interrupts import uninterrupted


@contextmanager
def on_device(device: torch.device | str | None) -> Generator[None]:
    """Let constructors make tensors on ``device``, as ``with torch.device(...)`` does.

    That one stays in force if Ctrl-C comes at its end, and every later tensor of the
    program would be on the meta device. None changes nothing.
    """
    if device is None:
        yield
        return
    mode, leaving = torch.device(device), list[Callable[[], object]]()
    # An interrupt may come in place of either call, and the other is made.
    try:
        try:
            with uninterrupted():
                leaving += _entered(mode)
            yield
        finally:
            _leave(leaving)
    finally:
        _leave(leaving)


def _entered(mode: torch.device) -> list[Callable[[], object]]:
    # Entered in the same line that notes it, so that nothing comes between.
    return [partial(mode.__exit__, None, None, None) for _ in [mode.__enter__()]]


def _leave(leaving: list[Callable[[], object]]) -> None:
    with uninterrupted():
        if leaving:
            leaving.pop()()
