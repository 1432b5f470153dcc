"""Copies from a device: the next piece is copied while the previous one is used."""

from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ..tensors.grad_mode import ordinary_tensors

Wait: TypeAlias = Callable[[], object]

StartCopy: TypeAlias = Callable[[Tensor, Tensor], Wait]
"""Starts copying its second argument to its first; the result waits for the end."""


def in_main_memory(pieces: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Yield ``pieces``, all of which are on ``device``, in main memory, one by one.

    Each is valid until the next one is requested, and, unless the device is the CPU,
    not shared.
    """
    if device.type == "cpu":
        return iter(pieces)
    if device.type == "cuda":
        return overlapped(pieces, start_copy, is_pinned=True)
    return (piece.cpu() for piece in pieces)


def overlapped(
    pieces: Iterable[Tensor], start: StartCopy, *, is_pinned: bool
) -> Iterator[Tensor]:
    """Yield copies of ``pieces``: one is being made while the caller uses another."""
    rooms = cycle((_Room(is_pinned), _Room(is_pinned)))
    ready: tuple[Tensor, Wait] | None = None
    for piece, room in zip(pieces, rooms, strict=False):
        host = room.like(piece)
        following = host, start(host, piece)
        # The caller has used the copy before this one, so its memory is free.
        if ready is not None:
            ready[1]()
            yield ready[0]
        ready = following
    if ready is not None:
        ready[1]()
        yield ready[0]


def start_copy(host: Tensor, piece: Tensor) -> Wait:
    """Let the device copy ``piece`` after all earlier work of this thread's stream."""
    with torch.cuda.device(piece.device):
        host.copy_(piece, non_blocking=True)
        copied: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]  # of torch
        copied.record()
    wait: Wait = copied.synchronize
    return wait


class _Room:
    """Memory for one copy, reused."""

    def __init__(self, is_pinned: bool) -> None:
        self._is_pinned = is_pinned
        self._memory: Tensor | None = None

    def like(self, piece: Tensor) -> Tensor:
        """Return memory for the values of ``piece``, replacing the old content."""
        if self._memory is None or len(self._memory) < piece.nbytes:
            self._memory = _host_memory(piece.nbytes, is_pinned=self._is_pinned)
        return self._memory[: piece.nbytes].view(piece.dtype).view(piece.shape)


def _host_memory(size: int, *, is_pinned: bool) -> Tensor:
    with ordinary_tensors():
        if is_pinned:
            try:
                return torch.empty(size, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:
                raise_of_signal(error)
                # The system locks no more memory: without it the copy is correct, but
                # slow.
                pass
        return torch.empty(size, dtype=torch.uint8, device="cpu")
