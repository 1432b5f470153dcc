"""Progress of a save or a load, for callers that asked for it."""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TextIO, TypeAlias

from ...config.arguments import takes
from ...config.printable import printable
from ...config.process.interrupts import raise_of_signal

ProgressCall: TypeAlias = Callable[[int, int, str], object]
"""Called with (bytes done, bytes in total, path of the entry)."""

Progress: TypeAlias = ProgressCall | bool
"""Such a function; True: a line on stderr, once it takes longer than a second."""


class Tally:
    """Counts the bytes that were moved, and reports them to a progress call."""

    def __init__(self, progress: Progress | None, sizes: Iterable[int]) -> None:
        """``sizes`` are those of everything. TypeError for an invalid progress.

        Without a progress they are not read.
        """
        self._call, self._n_done = progress_call(progress), 0
        self._n_bytes = 0 if self._call is None else sum(sizes)
        self.is_told = self._call is not None
        """Whether progress is reported at all."""

    def add(self, n_bytes: int, path: str) -> None:
        """Report that an entry was moved; raises the error of the progress call."""
        self._n_done += n_bytes
        if self._call is not None:
            self._call(self._n_done, self._n_bytes, path)


@dataclass(slots=True)
class PartsProgress:
    """Reports to one progress what is written or read part after part."""

    call: ProgressCall | None
    n_bytes: int
    """The sizes of all parts."""
    n_done: int = 0

    def of_next(self) -> ProgressCall | None:
        """Return the progress of the next part."""
        call, before = self.call, self.n_done
        if call is None:
            return None

        def progress(n_done: int, total: int, path: str) -> None:
            self.n_done = before + n_done
            call(self.n_done, self.n_bytes, path)

        return progress


def progress_call(progress: Progress | None) -> ProgressCall | None:
    """Return the function to call; None for nothing. TypeError for anything else."""
    if progress is None or progress is False:
        return None
    if progress is True:
        return ProgressLine()
    if not _takes_three(progress):
        raise TypeError(
            "progress must be True or a function of (bytes done, bytes in all, path of "
            f"the entry), got {progress!r:.60}.{_cure_of(progress)}"
        )
    return progress


def _takes_three(progress: object) -> bool:
    """Return whether this is a function of three arguments, as far as can be seen.

    A class would only create a new instance at every call, like a bar of tqdm.
    """
    if not callable(progress) or isinstance(progress, type):
        return False
    return takes(progress, 3)


def _cure_of(progress: object) -> str:
    """Explain how to update another library's bar, which is what users mean."""
    is_bar = hasattr(getattr(progress, "__self__", progress), "update")
    if not is_bar:
        return ""
    return (
        " To update a tqdm bar: def move(done, total, path): bar.total = total; "
        "bar.update(done - bar.n), and progress=move."
    )


def through_generators(call: ProgressCall) -> ProgressCall:
    """Return ``call`` for use in generators, inside of `StopsAsItself`.

    A StopIteration that leaves a generator would become a RuntimeError.
    """

    def called(n_done: int, n_bytes: int, path: str) -> None:
        try:
            call(n_done, n_bytes, path)
        except StopIteration as error:
            raise _CarriedStopError(error) from None

    return called


class StopsAsItself:
    """Re-raises a StopIteration of `through_generators` as itself."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if isinstance(error, _CarriedStopError):
            raise error.stop from None


class _CarriedStopError(Exception):
    """A StopIteration on its way out of generators."""

    def __init__(self, stop: StopIteration) -> None:
        super().__init__(stop)
        self.stop = stop


def progress_below(name: str, progress: Progress | None) -> Progress | None:
    """Return ``progress`` for a part whose paths get the prefix ``name``."""
    call = progress_call(progress)
    if call is None:
        return None
    return lambda n_done, n_bytes, path: call(n_done, n_bytes, f"{name}.{path}")


class ProgressLine:
    """A line on stderr that shows the progress; none if it takes less than a second.

    If it cannot be shown (no stderr, a closed one, a pipe whose reader has gone) there
    is no line, and the work continues.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # A program without a console has no stderr.
        self._stream: TextIO | None = sys.stderr if stream is None else stream
        self._clock = clock
        self._start = clock()
        # In a log every line remains, so there are few of them.
        self._is_terminal = _is_terminal(self._stream)
        self._pause = 0.1 if self._is_terminal else 10.0
        self._next = self._start + max(1.0, self._pause)
        self._has_said = False

    def __call__(self, n_done: int, n_bytes: int, path: str) -> None:
        """Rewrite the line, if it is time to."""
        now = self._clock()
        is_last = n_done >= n_bytes
        if now < self._next and not (is_last and self._has_said):
            return
        self._next, self._has_said = now + self._pause, True
        share = n_done / n_bytes if n_bytes else 1.0
        speed = n_done / max(now - self._start, 1e-9)
        text = f"{share:4.0%} of {_amount(n_bytes)}, {_amount(speed)}/s"
        text += f", {_path_tail(path)}"
        # To the end of the line, so that nothing of a longer one is left.
        line = f"\r{text}\x1b[K" if self._is_terminal else text
        self._write(line if self._is_terminal and not is_last else f"{line}\n")

    def _write(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise_of_signal(error)
            self._stream = None


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError) as error:
        raise_of_signal(error)
        return False  # it is closed


def _path_tail(path: str) -> str:
    """Return the end of a path that fits on a line, without control characters."""
    path = printable(path)
    return path if len(path) <= _WIDTH else f"...{path[3 - _WIDTH :]}"


def _amount(n_bytes: float) -> str:
    mib = n_bytes / (1 << 20)
    return f"{mib:,.1f} MiB" if mib < 1024 else f"{mib / 1024:,.2f} GiB"


_WIDTH = 40
