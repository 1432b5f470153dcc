"""Where payloads lie: a document that any MessagePack reader walks from end to end."""

import struct

import pytest

from burnish.records.formats.layout import LONGEST_BIN, PART, DocumentLayout, pieces_of

SIZES = {
    "nothing": [],
    "empty payloads": [0, 0],
    "around the alignment": [*range(130)],
    "the longest in one part": [3, LONGEST_BIN, 5],
    "one byte more": [3, LONGEST_BIN + 1, 5],
    "whole parts": [4 * PART, 7, 8 * PART],
    "more than whole parts": [5 * PART + 1, 5 * PART - 1],
}


def walk(layout: DocumentLayout) -> list[list[tuple[int, int]]]:
    """Return where the parts of each payload lie, by what the frames say."""
    at, found = 5, list[list[tuple[int, int]]]()
    parts = layout.parts()
    for i, frame in enumerate(layout.frames()):
        pieces = list[tuple[int, int]]()
        for head in (frame, *parts.get(i, ())):
            pad = head[1]
            code, length = struct.unpack(">BI", head[2 + pad :])
            assert (head[0], code) == (0xC4, 0xC6)
            assert head[2 : 2 + pad] == bytes(pad)
            at += len(head)
            pieces.append((at, length))
            at += length
        found.append(pieces)
    assert at == layout.end
    return found


@pytest.mark.parametrize("kind", SIZES)
def test_frames_lead_from_one_payload_to_the_next_and_to_the_end(kind: str) -> None:
    layout = DocumentLayout.of(SIZES[kind])

    found = walk(layout)

    assert [pieces[0][0] for pieces in found] == layout.starts.tolist()
    assert [sum(n for _, n in pieces) for pieces in found] == SIZES[kind]
    assert all(at % 64 == 0 for pieces in found for at, _ in pieces)
    assert layout.n_items == 2 * sum(map(len, found))
    for pieces, start, size in zip(found, layout.starts, SIZES[kind], strict=True):
        assert list(pieces_of(start, size)) == pieces


def test_a_payload_has_parts_only_if_one_is_too_short() -> None:
    assert pieces_of(64, LONGEST_BIN) == ((64, LONGEST_BIN),)
    assert len(pieces_of(64, LONGEST_BIN + 1)) == 4
    assert DocumentLayout.of([LONGEST_BIN, 1]).parts() == {}
    assert list(DocumentLayout.of([1, LONGEST_BIN + 1]).parts()) == [1]
