"""Gates at which a save in the background stands still until a test opens them."""

import errno
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

LONG = 60.0
"""Seconds after which something that should happen is taken not to."""


class Gate:
    """Called by the thread that writes; ``progress=gate`` puts one into a save."""

    def __init__(self) -> None:
        self._arrival, self._opening = threading.Event(), threading.Event()

    def __call__(self, *args: object) -> None:
        self._arrival.set()
        assert self._opening.wait(LONG), "nobody opened the gate"

    def wait_for_arrival(self) -> None:
        assert self._arrival.wait(LONG), "nobody came to the gate"

    @property
    def is_reached(self) -> bool:
        return self._arrival.is_set()

    def open(self) -> None:
        self._opening.set()


class GatedCall:
    """Takes the place of a function: stands still at a gate, then calls or fails."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.gate = Gate()
        self.error: BaseException | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.gate()
        if self.error is not None:
            raise self.error
        return self._function(*args, **kwargs)


@contextmanager
def gate_at(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> Generator[GatedCall]:
    """Put a gate before the method ``name`` of ``owner``; it is open at the end."""
    gated = GatedCall(getattr(owner, name))

    def call(*args: Any, **kwargs: Any) -> Any:
        return gated(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    yield gated
    gated.gate.open()


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")
