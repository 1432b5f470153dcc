"""The device of new tensors for a block, put back whatever interrupts that."""

from collections.abc import Generator
from contextlib import contextmanager

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
    entered: list[torch.device] = []
    # An interrupt may come in place of either call, and the other is made.
    try:
        try:
            with uninterrupted():
                # Entered and noted in one call, so that nothing comes between.
                entered.extend(map(torch.device.__enter__, (torch.device(device),)))
            yield
        finally:
            _leave(entered)
    finally:
        _leave(entered)


def _leave(entered: list[torch.device]) -> None:
    with uninterrupted():
        if entered:
            entered.pop().__exit__(None, None, None)
