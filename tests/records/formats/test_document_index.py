"""A document whose payloads lie beside it, whatever it says of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
import torch
import xxhash

import burnish
from burnish.records import RecordFormatError

from .. import tiny_reader
from ..test_linked_save import save, state

Change = Callable[[dict[str, Any]], object]


def index_file(run: Path) -> Path:
    save(run, 0, state())
    save(run, 1, state(adapter=1.0))
    return run / "1" / "net.mpk"


def rewrite(file: Path, change: Change) -> None:
    """Change the header of an index, and make its sums right again."""
    document: Any = msgpack.unpackb(file.read_bytes())
    header: Any = msgpack.unpackb(document["header"])
    header.pop("pad")
    change(header)
    packed: Any = msgpack.packb({**header, "pad": b""})
    # The pad's length brings `data` to a multiple of 64.
    head = b"\x86\xa7burnish\x02\xa6header\xc6"
    pad = -(len(head) + 4 + len(packed) + 12 + 2 + 8 + 5) % 64
    packed = packed[:-1] + bytes([pad]) + bytes(pad)
    n_tail = 10 + 5 + len(document["checksums"]) + 15 + 2 + 8
    tail = file.read_bytes()[-n_tail:]
    file.write_bytes(
        head
        + len(packed).to_bytes(4, "big")
        + packed
        + b"\xabheader_xxh3\xc4\x08"
        + xxhash.xxh3_64_digest(packed)
        + b"\xa4data\xdd"
        + bytes(4)
        + tail
    )


def test_a_header_that_is_written_again_unchanged_is_read(tmp_path: Path) -> None:
    file = index_file(tmp_path)
    before = file.read_bytes()
    rewrite(file, lambda header: None)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h.pop("files"), "a damaged list of files"),
        (lambda h: h["files"][0].pop(), "a damaged list of files"),
        (lambda h: h.update(files=h["files"][:1]), "file that it does not name"),
        (lambda h: h.update(files=[h["files"][0]] * 2), "a file that is named twice"),
        (
            lambda h: h["files"][0].__setitem__(0, "../0/net.mpk"),
            "not the name of a file",
        ),
        (lambda h: h["files"][0].__setitem__(0, ""), "not the name of a file"),
        (lambda h: h["files"][0].__setitem__(0, ".."), "not the name of a file"),
        (lambda h: h["files"][0].__setitem__(1, "00"), "too short or too long"),
        (lambda h: h["files"][0].__setitem__(1, "00" * 16), "with different content"),
        (lambda h: h["tensors"]["offset"].__setitem__(0, 1 << 40), "is not"),
        (lambda h: h["tensors"]["offset"].__setitem__(0, -1), "has the"),
        (lambda h: h["tensors"]["file"].__setitem__(0, 9), "that it does not name"),
        (lambda h: h["tensors"]["file"].__setitem__(0, "0"), "number of a file"),
        (lambda h: h["tensors"]["file"].pop(), "columns of different lengths"),
        (lambda h: h["tensors"].pop("file"), "wrong columns"),
        (lambda h: h.update(more=1), "wrong keys"),
    ],
)
def test_what_an_index_may_not_say_is_refused(
    change: Change, words: str, tmp_path: Path
) -> None:
    file = index_file(tmp_path)
    rewrite(file, change)

    with pytest.raises(RecordFormatError, match=words):
        burnish.open_record(file)


def test_a_file_of_payloads_is_no_index_itself(tmp_path: Path) -> None:
    file = index_file(tmp_path)
    other = tmp_path / "1" / "other.mpk"
    other.write_bytes(file.read_bytes())
    digest = other.read_bytes()
    start = digest.index(b"header_xxh3") + 13
    pinned = (digest[start : start + 8] + digest[-8:]).hex()
    rewrite(
        file,
        lambda h: (
            h.update(files=[["other.mpk", pinned]] + h["files"]),
            h["tensors"].update(file=[n + 1 for n in h["tensors"]["file"]]),
        ),
    )

    with pytest.raises(RecordFormatError, match="names of other files"):
        burnish.verify_file(file)


def test_no_bytes_are_read_for_more_than_one_entry(tmp_path: Path) -> None:
    n = 1 << 15
    run = tmp_path / "run"
    for step in (0, 1):
        save(run, step, {"a": torch.ones(n), "b": torch.ones(n), "c": torch.ones(n)})
    file = run / "1" / "net.mpk"

    def repeat(header: dict[str, Any]) -> None:
        header["tensors"]["shape"] = [[2 * n]] * 3
        header["tensors"]["offset"] = [header["tensors"]["offset"][0]] * 3

    rewrite(file, repeat)
    with pytest.raises(RecordFormatError, match="is not"):
        burnish.open_record(file)


@pytest.mark.parametrize("step", [0, 1])
def test_a_stranger_reads_it_by_the_page_on_formats(step: int, tmp_path: Path) -> None:
    index_file(tmp_path)
    values = tiny_reader.read(tmp_path / str(step) / "net.mpk")

    expected = state(adapter=float(step))
    assert {path.split(".")[-1] for path in values} == expected.keys()
    for path, value in values.items():
        assert torch.equal(value, expected[path.split(".")[-1]])
