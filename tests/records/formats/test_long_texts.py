"""Texts of JSON that are too long for one piece of the allocator's memory."""

import json

import orjson
import pytest

from burnish.records.formats import long_texts
from burnish.records.formats.long_texts import read_long_text, unescaped
from burnish.records.io.source import MemorySource

TEXTS = [
    '["a", "b", "\\n", "é😀"]',
    'no comma, then \\ and "' + "\\" * 40,
    "," * 30,
    "x" * 50,
]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "LONG", 8)
    monkeypatch.setattr(long_texts, "_PIECE", 5)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_the_inside_of_a_string_is_unescaped_piece_by_piece(
    text: str, is_ascii: bool
) -> None:
    inside = json.dumps(text, ensure_ascii=is_ascii)[1:-1].encode()

    content = unescaped(memoryview(inside))

    assert len(content) == len(inside)
    assert content[:].rstrip(b" ") == text.encode()


@pytest.mark.parametrize("inside", [b"aaaaaa,\\", rb"aaaaaa,\x", b"aaaaaa,\xff,bb"])
def test_a_damaged_string_is_refused(inside: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        unescaped(memoryview(inside))


def test_bytes_of_a_file_are_read_piece_by_piece() -> None:
    source = MemorySource(b"0123456789abcdefgh")

    assert read_long_text(source, 2, 14)[:] == b"23456789abcdef"
    assert read_long_text(source, 2, 3) == b"234"
