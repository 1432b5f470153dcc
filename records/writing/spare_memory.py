"""SpareMemory: reusable memory for copies that a step may suddenly need."""

import ctypes
import mmap

from ...config.process.interrupts import raise_of_signal


class CopyRoom:
    """Memory for copies, allocated consecutively."""

    def __init__(self, size: int) -> None:
        # Not a tensor: the stepping code may have torch in a mode that fakes them.
        self._map = mmap.mmap(-1, size)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.size, self._n_taken = size, 0

    def take(self, size: int) -> int | None:
        """Return the address of ``size`` bytes; None if there are no more."""
        if self._n_taken + size > self.size:
            return None
        self._n_taken += size
        return self._start + self._n_taken - size

    def clear(self) -> None:
        """Make all of it available again."""
        self._n_taken = 0

    def touch(self) -> None:
        """Let the system allocate every page."""
        ctypes.memset(self._start, 0, self.size)


class SpareMemory:
    """Memory for at most ``limit`` bytes of copies, reused from save to save."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._spare: list[CopyRoom] = []

    def take(self, size: int, *, is_limited: bool = True) -> CopyRoom | None:
        """Return memory for ``size`` bytes, or for the limit; None if there is none."""
        if is_limited:
            size = min(size, self.limit)
        memory = self._spare.pop() if self._spare else None
        if memory is not None and memory.size >= size:
            memory.clear()
            return memory
        try:
            return CopyRoom(size) if size else None
        except (OSError, ValueError, MemoryError) as error:
            raise_of_signal(error)
            return None  # the stepping code waits for the file instead

    def prepare(self, size: int) -> None:
        """Allocate ``size`` bytes, or the limit, with every page touched."""
        memory = self.take(size)
        if memory is not None:
            memory.touch()
            self.give_back(memory)

    def give_back(self, memory: CopyRoom) -> None:
        """Keep ``memory`` for the next copies."""
        self._spare[:] = [memory]

    def free(self) -> None:
        """Release unused memory."""
        self._spare.clear()
