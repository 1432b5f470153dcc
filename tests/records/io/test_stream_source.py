"""Open file objects are read from their position on, whatever they return."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from burnish.records import RecordFormatError
from burnish.records.io.source import ClosedFileError
from burnish.records.io.stream_source import (
    StreamSource,
    name_of_stream,
    read_stream,
)


class Dripping(io.BytesIO):
    """Returns at most two bytes at a time, as a pipe may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 2) if size and size > 0 else size)


class Returning:
    """A file object whose reads return what they are told to."""

    name = 5

    def __init__(self, result: Any) -> None:
        self._result = result

    def read(self, size: int = -1) -> Any:
        return self._result


@pytest.mark.parametrize("kind", [io.BytesIO, Dripping])
def test_bytes_are_counted_from_the_position_of_the_file_object(
    kind: Callable[[bytes], io.BytesIO],
) -> None:
    file = kind(b"before0123456789")
    file.seek(6)

    source = StreamSource(file)

    assert source.size == 10
    assert bytes(source.read(2, 5)) == b"23456"
    assert bytes(source.view(0, 10)) == b"0123456789"
    with pytest.raises(RecordFormatError, match=r"10 bytes.*at least 11"):
        source.read(5, 6)


def test_a_file_object_that_was_cut_or_closed_meanwhile_is_an_error() -> None:
    file = io.BytesIO(b"0123456789")
    source = StreamSource(file)
    file.truncate(4)

    with pytest.raises(RecordFormatError, match="its end while it was being read"):
        source.read(0, 10)
    file.close()
    with pytest.raises(ClosedFileError):
        source.read(0, 1)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        ("text", TypeError, "text mode"),
        (None, BlockingIOError, "make it blocking"),
        (b"12345", ValueError, "returned 5 bytes, expected at most 4"),
    ],
)
def test_what_no_binary_file_returns_is_refused(
    result: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_stream(Returning(result), 4)


def test_errors_name_the_file_of_a_file_object_if_it_has_one(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    file.write_bytes(b"")

    with open(file, "rb") as opened:
        assert name_of_stream(opened) == str(file)
    assert name_of_stream(Returning(b"")) == "file object"
