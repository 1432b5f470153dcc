"""Copies off a device: the next piece comes while the one before is used."""

from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ..tensors.grad_mode import ordinary_tensors

Wait: TypeAlias = Callable[[], object]

StartCopy: TypeAlias = Callable[[Tensor, Tensor], Wait]
"""Begins to copy its second argument into its first; what it returns ends that."""


def in_main_memory(pieces: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Return ``pieces``, which are all on ``device``, in main memory one by one.

    Each is valid until the next one is asked for, and on no device but the CPU anybody
    else's.
    """
    if device.type == "cpu":
        return iter(pieces)
    if device.type == "cuda":
        return overlapped(pieces, start_copy, is_pinned=True)
    return (piece.cpu() for piece in pieces)


def overlapped(
    pieces: Iterable[Tensor], start: StartCopy, *, is_pinned: bool
) -> Iterator[Tensor]:
    """Return copies of ``pieces``: one is under way while the caller has another."""
    rooms = cycle((_Room(is_pinned), _Room(is_pinned)))
    ready: tuple[Tensor, Wait] | None = None
    for piece, room in zip(pieces, rooms, strict=False):
        host = room.like(piece)
        following = host, start(host, piece)
        # The caller has seen the copy before this one, so its room was free.
        if ready is not None:
            ready[1]()
            yield ready[0]
        ready = following
    if ready is not None:
        ready[1]()
        yield ready[0]


def start_copy(host: Tensor, piece: Tensor) -> Wait:
    """Have the device copy ``piece`` behind all that this thread has asked it for."""
    with torch.cuda.device(piece.device):
        host.copy_(piece, non_blocking=True)
        copied: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]  # of torch
        copied.record()
    wait: Wait = copied.synchronize
    return wait


class _Room:
    """Memory for one copy, used again and again."""

    def __init__(self, is_pinned: bool) -> None:
        self._is_pinned = is_pinned
        self._memory: Tensor | None = None

    def like(self, piece: Tensor) -> Tensor:
        """Return room for the values of ``piece``, in place of what was there."""
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
                # The system locks no more memory: the copy is right without, and slow.
                pass
        return torch.empty(size, dtype=torch.uint8, device="cpu")
