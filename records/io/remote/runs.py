"""Runs: ranges that will be read, merged so that few requests fetch them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

GAP = 64 << 10
"""This many bytes between two ranges are fetched with them: a request costs more."""
RUN = 16 << 20
"""Ranges are merged up to this many bytes."""
_BEFORE = 128
"""Bytes before a run that are fetched with it: the frame of the first payload."""


@dataclass(slots=True)
class Run:
    """Bytes that are fetched together, and which of them were not read yet."""

    start: int
    end: int
    n_left: int
    is_in_blocks: bool = False
    """Whether it is read piece by piece, in order, and not kept."""
    content: memoryview | None = None
    read: set[int] = field(default_factory=set[int])
    """The starts of returned ranges, whose memory belongs to their reader."""


class Runs:
    """The runs of one reader, by location."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._starts: list[int] = []

    def add(self, ranges: Iterable[tuple[int, int]], *, in_blocks: bool) -> None:
        """Add ranges (offset and length) that will be read, each once.

        With ``in_blocks`` they are read piece by piece, and a long one is not a single
        run.
        """
        unfetched = [r for r in ranges if r[1] and self.at(*r) is None]
        pieces = unfetched if not in_blocks else [*_cut(unfetched)]
        self._runs = sorted(
            [*self._runs, *_runs_of(pieces, in_blocks=in_blocks)],
            key=lambda run: run.start,
        )
        self._starts = [run.start for run in self._runs]

    def at(self, offset: int, count: int) -> Run | None:
        """Return the run that contains these bytes and has not returned them yet."""
        number = bisect_right(self._starts, offset) - 1
        if number < 0:
            return None
        run = self._runs[number]
        is_inside = offset + count <= run.end and offset not in run.read
        return run if is_inside else None

    def batch(self, run: Run, limit: int) -> list[Run]:
        """Return ``run`` and unfetched ones after it, ``limit`` bytes or one run."""
        number, size = self._runs.index(run), 0
        batch: list[Run] = []
        for run in self._runs[number:]:
            size += run.end - run.start
            if batch and size > limit:
                break
            if run.content is None:
                batch.append(run)
        return batch

    def take(self, run: Run, offset: int, count: int) -> memoryview:
        """Return bytes of a run that was fetched; they belong to the caller alone."""
        content = run.content
        if content is None:
            raise RuntimeError("a run is read before it is fetched")
        run.read.add(offset)
        run.n_left -= count
        if run.n_left <= 0:
            number = self._runs.index(run)
            del self._runs[number], self._starts[number]
        at = offset - run.start
        return content[at : at + count]


def _cut(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for offset, count in ranges:
        for at in range(offset, offset + count, RUN):
            yield at, min(RUN, offset + count - at)


def _runs_of(ranges: Sequence[tuple[int, int]], *, in_blocks: bool) -> Iterator[Run]:
    """Yield the runs of ranges, in order of location."""
    run: Run | None = None
    for offset, count in sorted(set(ranges)):
        end = offset + count
        is_near = run is not None and 0 <= offset - run.end <= GAP
        if run is not None and is_near and end - run.start <= RUN:
            run.end, run.n_left = end, run.n_left + count
            continue
        if run is not None:
            yield run
        # The bytes between two payloads are compared too, so no gap is left out.
        before = run.end if run is not None and is_near else max(0, offset - _BEFORE)
        run = Run(before, end, count, in_blocks)
    if run is not None:
        yield run
