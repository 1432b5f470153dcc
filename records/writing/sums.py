"""Sums: the checksums of payloads that are being written."""

from collections.abc import Iterable, Sequence

from ..entries.entry import Entry
from ..errors import RecordError


class Sums:
    """The xxh3-64 checksum of each payload, known just before its last chunk is out.

    They are contiguous, 8 bytes each: an object for each of 200,000 would take 10 MiB.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._sums, self._is_known = _none_of(entries)
        self._stored_sums, self._is_stored = self._sums, self._is_known
        self._has_expected = False

    def add(self, i: int, digest: bytes) -> None:
        """Record a checksum; RecordError if the payload has changed since hashing."""
        self.add_all(((i, digest),))

    def add_all(self, digests: Iterable[tuple[int, bytes]]) -> None:
        """Record the checksum of each payload by its number, as `add` does."""
        sums, is_known = self._sums, self._is_known
        expected = self._stored_sums if self._has_expected else None
        for i, digest in digests:
            if is_known[i]:
                raise RuntimeError(
                    f"{self._entries[i].path}: its payload was read twice; the sum is "
                    "of one reading, since values may change in between"
                )
            if expected is not None and digest != bytes(expected[8 * i : 8 * i + 8]):
                raise RecordError(
                    f"{self._entries[i].path}: its values changed while they were "
                    "saved. Save a clone() of the record, or to a path instead of a "
                    "stream."
                )
            sums[8 * i : 8 * i + 8] = digest
            is_known[i] = True

    def expect(self) -> None:
        """Announce that every payload is read once more, and must not have changed."""
        self._has_expected = True
        self._sums, self._is_known = _none_of(self._entries)

    def of(self, i: int) -> bytes:
        """Return the checksum of a payload that was read to its end."""
        if not self._is_stored[i]:
            raise RuntimeError(
                f"the sum of {self._entries[i].path} is known once its payload was "
                "read to its end, or after hash_ahead"
            )
        return bytes(self._stored_sums[8 * i : 8 * i + 8])

    def all(self) -> bytes:
        """Return the checksums of all payloads, concatenated."""
        if (unknown := self._is_stored.find(0)) >= 0:
            self.of(unknown)
        return bytes(self._stored_sums)

    def unread(self) -> str | None:
        """Return the path of a payload that was not read to its end, or None."""
        unknown = self._is_known.find(0)
        return None if unknown < 0 else self._entries[unknown].path


def _none_of(entries: Sequence[Entry]) -> tuple[bytearray, bytearray]:
    """Return memory for the checksums, and flags of known ones, none of them set."""
    return bytearray(8 * len(entries)), bytearray(len(entries))
