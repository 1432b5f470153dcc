"""RemoteSource: the bytes of an object behind a URL, fetched by ranges."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from ....config.process.process_lock import ProcessLock
from ...errors import RecordFormatError
from ..source import ClosedFileError, check_extent, fresh_memory, missing_beside
from .runs import Runs
from .stored_object import StoredObject

HEAD = 128 << 10
"""Bytes of the first request: nearly every header, and the whole of a small object."""
PAGE = 64 << 10
"""A shorter read other than a payload fetches this many bytes, which are kept."""
_MOST_PAGES = 8
_AHEAD = 64 << 20
"""Maximal bytes of announced payloads that are fetched together."""
_AHEAD_IN_BLOCKS = 32 << 20
"""The same for reads in blocks: two records that are compared take 64 MiB."""


class RemoteSource:
    """An object of a storage, for any number of threads.

    A payload is fetched alone. Of ranges announced by `expect`, neighbors are fetched
    in one request, with the bytes between them if these are 64 KiB at most. Other short
    reads fetch 64 KiB, the first one 128.
    """

    def __init__(self, stored_object: StoredObject, *, verify: bool) -> None:
        self.name, self.size = stored_object.name, stored_object.size
        self.verify = verify
        self._stored = stored_object
        self._pages = _Pages(stored_object)
        self._runs = Runs()
        self._lock = ProcessLock()
        self._is_confirmed_by_sums = True
        self._beside: list[RemoteSource] = []
        self._is_closed = False

    is_remote = True

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``; RecordFormatError if there are less."""
        self._check(offset, count)
        if count < PAGE:
            page = self._pages.part(offset, count)
            if page is not None:
                return page
        content = self._from_runs(offset, count)
        if content is not None:
            return content
        if count < PAGE:
            return self._pages.fetched(offset, count)
        return self._fetched(offset, count)

    def view(self, offset: int, count: int) -> memoryview:
        """Return the same as memory that is not shared."""
        self._check(offset, count)
        content = self._from_runs(offset, count)
        if content is not None:
            return content
        page = self._pages.part(offset, count)
        return self._fetched(offset, count) if page is None else page

    def mapped(self) -> "RemoteSource":
        """Return the same object for one load, which announces its own payloads."""
        source = RemoteSource(self._stored, verify=self.verify)
        source._pages = self._pages
        source._is_confirmed_by_sums = self._is_confirmed_by_sums
        return source

    def expect(
        self, ranges: Iterable[tuple[int, int]], *, in_blocks: bool = False
    ) -> None:
        """Announce what will be read, each range (offset, length) once and soon.

        With ``in_blocks`` it is read in pieces, in order.
        """
        to_fetch = [r for r in ranges if not self._pages.holds(*r)]
        with self._lock.here:
            self._runs.add(to_fetch, in_blocks=in_blocks)

    def expect_surroundings(self, rows: Sequence[tuple[int, bytes, str]]) -> None:
        """Set the expected bytes around payloads, and the error if they differ.

        They are compared when announced ranges arrive, without a request of their own.
        """
        self._pages.surroundings = sorted(rows)
        for start, content in self._pages.all:
            self._compare(start, content)

    def confirm(self) -> None:
        """Raise `RecordFormatError` if the object was replaced."""
        self._stored.confirm()

    def confirm_every_read(self) -> None:
        """Let each request check whether the object is still the same.

        For content without checksums, which would show it.
        """
        self._is_confirmed_by_sums = False

    def beside(self, name: str) -> "RemoteSource":
        """Return the object ``name`` of the same folder.

        FileNotFoundError if this object itself no longer exists, and RecordFormatError
        if only the other does not.
        """
        try:
            neighbor = RemoteSource(self._stored.beside(name), verify=self.verify)
        except FileNotFoundError:
            self.confirm()
            raise missing_beside(self.name, name) from None
        self._beside.append(neighbor)
        return neighbor

    def close(self) -> None:
        """Refuse further reads; returned views stay valid."""
        self._is_closed = True
        self._runs = Runs()
        for neighbor in self._beside:
            neighbor.close()

    def __getstate__(self) -> None:
        raise TypeError(
            f"{self.name}: an open object can be neither pickled nor copied. "
            "Pickle or copy the whole record, or a tensor of it, or open the URL again "
            "there."
        )

    def _check(self, offset: int, count: int) -> None:
        if self._is_closed:
            raise ClosedFileError(
                f"{self.name} is closed; read what you need before you close it"
            )
        check_extent(self, offset, count)

    def _from_runs(self, offset: int, count: int) -> memoryview | None:
        """Return announced bytes, fetched together with those that follow."""
        with self._lock.here:
            run = self._runs.at(offset, count)
            if run is None:
                return None
            if run.content is None:
                limit = _AHEAD_IN_BLOCKS if run.is_in_blocks else _AHEAD
                batch = self._runs.batch(run, limit)
                parts = self._stored.fetch([(each.start, each.end) for each in batch])
                for each, content in zip(batch, parts, strict=True):
                    self._compare(each.start, content)
                    each.content = content
                self._confirm_unless_sums()
            return self._runs.take(run, offset, count)

    def _fetched(self, offset: int, count: int) -> memoryview:
        (content,) = self._stored.fetch([(offset, offset + count)])
        self._confirm_unless_sums()
        return content

    def _confirm_unless_sums(self) -> None:
        if not self._is_confirmed_by_sums:
            self._stored.confirm()

    def _compare(self, start: int, content: memoryview) -> None:
        rows, end = self._pages.surroundings, start + len(content)
        for number in range(bisect_left(rows, (start,)), len(rows)):
            at, expected, problem = rows[number]
            if at >= end:
                break
            # Bytes cut off by the content are compared with a run that has all of it.
            is_whole = at + len(expected) <= end
            if is_whole and bytes(content[at - start :][: len(expected)]) != expected:
                self._stored.confirm()
                raise RecordFormatError(self.name, problem)


class _Pages:
    """Parts of an object around its payloads: its head and its end."""

    def __init__(self, stored_object: StoredObject) -> None:
        self._stored = stored_object
        self._pages: list[tuple[int, memoryview]] = []
        self.surroundings: list[tuple[int, bytes, str]] = []
        """Expected bytes between payloads, by location; all readers compare them."""

    @property
    def all(self) -> list[tuple[int, memoryview]]:
        """The fetched pages, each with its location."""
        return self._pages

    def holds(self, offset: int, count: int) -> bool:
        """Return whether so many bytes are in a page that was fetched before."""
        return self._page(offset, count) is not None

    def part(self, offset: int, count: int) -> memoryview | None:
        """Return a copy of bytes of a page that was fetched before."""
        page = self._page(offset, count)
        if page is None:
            return None
        start, content = page
        return _copy(content[offset - start :][:count])

    def fetched(self, offset: int, count: int) -> memoryview:
        """Return bytes of a page that is fetched now."""
        start, end = self._extent(offset, count)
        (content,) = self._stored.fetch([(start, end)])
        # Replaced, never changed, since another thread may be searching it. The head is
        # needed most often.
        head = [page for page in self._pages if page[0] == 0]
        pages = [page for page in self._pages if page[0] != 0]
        self._pages = [*head, (start, content), *pages[: _MOST_PAGES - 1]]
        return _copy(content[offset - start :][:count])

    def _page(self, offset: int, count: int) -> tuple[int, memoryview] | None:
        for start, content in self._pages:
            if start <= offset and offset + count <= start + len(content):
                return start, content
        return None

    def _extent(self, offset: int, count: int) -> tuple[int, int]:
        size = self._stored.size
        if offset + count <= HEAD:
            return 0, min(size, HEAD if size > HEAD + PAGE else size)
        start = max(0, size - PAGE) if offset >= size - PAGE else offset
        return start, min(size, start + PAGE)


def _copy(content: memoryview) -> memoryview:
    if not len(content):
        return content
    copy = fresh_memory(len(content))
    copy[:] = content
    return copy
