"""Sums: the checksums of payloads that are being written."""

from collections.abc import Iterable, Sequence

from ..entries.entry import Entry
from ..errors import RecordError


class Sums:
    """The xxh3-64 sum of each payload, known just before its last chunk is written."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._found: list[bytes | None] = [None] * len(entries)
        self._expected: list[bytes | None] | None = None

    def add(self, i: int, digest: bytes) -> None:
        """Note a sum; RecordError if the payload was another one when it was hashed."""
        self.add_all(((i, digest),))

    def add_all(self, digests: Iterable[tuple[int, bytes]]) -> None:
        """Note the sum of each payload by its number, as `add` does."""
        sums, expected = self._found, self._expected
        for i, digest in digests:
            if sums[i] is not None:
                raise RuntimeError(
                    f"{self._entries[i].path}: its payload was read twice; the sum is "
                    "of one reading, since values may change in between"
                )
            if expected is not None and digest != expected[i]:
                raise RecordError(
                    f"{self._entries[i].path}: its values changed while they were "
                    "saved. Save a clone() of the record, or to a path instead of a "
                    "stream."
                )
            sums[i] = digest

    def expect(self) -> None:
        """Say that every payload is read once more, and must be what it was."""
        self._expected, self._found = self._found, [None] * len(self._entries)

    def of(self, i: int) -> bytes:
        """Return the sum of a payload that was read to its end."""
        sums = self._found if self._expected is None else self._expected
        digest = sums[i]
        if digest is None:
            raise RuntimeError(
                f"the sum of {self._entries[i].path} is known once its payload was "
                "read to its end, or after hash_ahead"
            )
        return digest

    def all(self) -> bytes:
        """Return the sums of all payloads, one behind the other."""
        sums = self._found if self._expected is None else self._expected
        if None in sums:
            self.of(sums.index(None))
        return b"".join(sums)  # type: ignore[arg-type]  # checked above

    def unread(self) -> str | None:
        """Return the path of a payload that was not read to its end, or None."""
        sums = self._found
        return self._entries[sums.index(None)].path if None in sums else None
