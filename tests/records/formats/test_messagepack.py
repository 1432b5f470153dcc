"""`.mpk`: a MessagePack document, aligned and checked, that strangers can read."""

import runpy
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch
import xxhash

from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.recorder import Recorder

from ..hostile_files import with_header

Same = Callable[[torch.Tensor, torch.Tensor], bool]
Tensors = dict[str, torch.Tensor]

TINY = Path(__file__).parents[1] / "tiny_reader.py"


def test_every_dtype_and_shape_comes_back_bit_for_bit(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "all.mpk"

    Record.from_state_dict(awkward).save(file)

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in awkward.items() if not same(record[p], t)] == []


def test_the_file_is_one_valid_messagepack_document(awkward: Tensors) -> None:
    document: Any = msgpack.unpackb(Recorder().dumps(Record.from_state_dict(awkward)))

    assert list(document) == [
        "burnish",
        "header",
        "header_xxh3",
        "data",
        "checksums",
        "checksums_xxh3",
    ]
    assert document["burnish"] == 1
    assert not any(any(pad) for pad in document["data"][::2])


def test_payloads_lie_at_multiples_of_64_bytes() -> None:
    tensors = {str(n): torch.full((n,), n, dtype=torch.uint8) for n in range(1, 130)}

    data = Recorder().dumps(Record.from_state_dict(tensors))

    header: Any = msgpack.unpackb(msgpack.unpackb(data)["header"])
    start = data.index(b"\xa4data\xdd") + 5
    assert start % 64 == 0
    for path, offset in zip(
        *(header["tensors"][k] for k in ("path", "offset")), strict=True
    ):
        assert offset % 64 == 0
        assert data[start + offset : start + offset + int(path)] == bytes(
            [int(path)]
        ) * int(path)


def test_equal_records_give_equal_bytes() -> None:
    tensors = {"a": torch.arange(5.0), "b": torch.ones(3)}

    assert Recorder().dumps(Record.from_state_dict(tensors)) == Recorder().dumps(
        Record.from_state_dict({k: v.clone() for k, v in tensors.items()})
    )


def test_a_newer_version_is_refused_by_its_number() -> None:
    data = bytearray(Recorder().dumps(Record.from_state_dict({"a": torch.ones(2)})))
    data[9] = 5

    with pytest.raises(RecordVersionError, match="version 5"):
        open_record(bytes(data))


def test_a_file_with_payloads_that_says_it_has_none_is_damaged() -> None:
    data = bytearray(Recorder().dumps(Record.from_state_dict({"a": torch.ones(2)})))
    for version in (2, 3, 4):
        data[9] = version
        with pytest.raises(RecordFormatError):
            open_record(bytes(data))


def test_bytes_after_the_end_are_refused() -> None:
    data = Recorder().dumps(Record.from_state_dict({"a": torch.ones(2)}))

    with pytest.raises(RecordFormatError, match="Data was appended"):
        open_record(data + b"\0")


def test_a_header_beyond_the_limit_is_refused_when_it_is_written() -> None:
    with pytest.raises(RecordError, match="header would take"):
        Recorder().dumps(
            Record.from_state_dict({"a": torch.ones(1)}),
            metadata={"x": "x" * 100_000_001},
        )


@pytest.mark.parametrize("precision", ["full", "half", "bfloat16"])
def test_a_reader_of_40_lines_reads_the_file(
    precision: Any, tmp_path: Path, same: Same
) -> None:
    read = runpy.run_path(str(TINY))["read"]
    tied = torch.randn(40, 70)
    tensors = {
        "a.weight": tied,
        "b.weight": tied,
        "s": torch.tensor(3),
        "e": torch.ones(0, 2),
    }
    file = tmp_path / "m.mpk"
    Record.from_state_dict(tensors).save(file, precision=precision)

    found = read(file)

    record = open_record(file)
    assert found.keys() == tensors.keys()
    assert all(same(found[path], record[path]) for path in tensors)


def test_that_reader_has_at_most_40_lines_and_no_burnish() -> None:
    lines = [line for line in TINY.read_text().splitlines() if line.strip()]

    assert len(lines) <= 40
    assert not any("import burnish" in line or "from burnish" in line for line in lines)


def parts_of(data: bytes) -> tuple[bytes, bytes]:
    """Return the header of a file, and what is behind its checksum."""
    (length,) = struct.unpack(">I", data[18:22])
    return data[22 : 22 + length], data[22 + length + 22 :]


def file_of(header: bytes, rest: bytes) -> bytes:
    digest = xxhash.xxh3_64_digest(header)
    head = b"\x86\xa7burnish\x01\xa6header\xc6" + struct.pack(">I", len(header))
    return head + header + b"\xabheader_xxh3\xc4\x08" + digest + rest


def padded(header: bytes, pad: bytes) -> bytes:
    """Return ``header`` with another pad as its last value."""
    at = header.rindex(b"\xa3pad\xc4") + 5
    return header[:at] + bytes([len(pad)]) + pad


SMALL = Recorder().dumps(Record.from_state_dict({"a": torch.ones(2)}))


def test_a_header_ends_in_the_shortest_pad_of_zeros_that_aligns_the_data() -> None:
    header, rest = parts_of(SMALL)
    n = len(header) - header.rindex(b"\xa3pad\xc4") - 6

    assert file_of(header, rest) == SMALL
    assert file_of(padded(header, bytes(n)), rest) == SMALL
    for pad in (bytes(n + 64), bytes(n + 1), b"\x01" + bytes(n - 1)):
        with pytest.raises(RecordFormatError, match="not end in its pad"):
            open_record(file_of(padded(header, pad), rest))
    without = b"\x85" + header[1 : header.rindex(b"\xa3pad\xc4")]
    for other in (b"\xa3pad\xc0", b"\xa3pad\xa0"):
        with pytest.raises(RecordFormatError, match="not end in its pad"):
            open_record(file_of(header[: header.rindex(b"\xa3pad")] + other, rest))
    with pytest.raises(RecordFormatError, match=r"damaged header|pad"):
        open_record(file_of(without, rest))


@pytest.mark.parametrize("width", range(64))
def test_the_data_is_aligned_whatever_the_length_of_the_header(width: int) -> None:
    record = Record.from_state_dict({"a": torch.ones(2)})

    data = Recorder().dumps(record, metadata={"x": "y" * width})

    assert (data.rindex(b"\xa4data\xdd") + 5) % 64 == 0
    assert open_record(data)["a"].sum() == 2


@pytest.mark.parametrize(
    ("at", "value", "problem"),
    [
        (10, b"\xa6Header", "no header after the version"),
        (17, b"\xc5", "no header after the version"),
        (18, b"\x7f\xff\xff\xff", "a header of 2,147,483,647 bytes in a file of"),
    ],
)
def test_a_damaged_beginning_is_refused_in_words(
    at: int, value: bytes, problem: str
) -> None:
    data = bytearray(SMALL)
    data[at : at + len(value)] = value

    with pytest.raises(RecordFormatError, match=problem):
        open_record(bytes(data))


def test_a_file_that_is_cut_anywhere_is_refused_when_it_is_opened() -> None:
    for n in range(9, len(SMALL)):
        with pytest.raises(RecordFormatError):
            open_record(SMALL[:n])
    start = SMALL.rindex(b"\xa4data\xdd")
    for n in (9, 21):
        with pytest.raises(RecordFormatError, match=f"only {n} bytes"):
            open_record(SMALL[:n])
    for n in (22, start, start + 9):
        with pytest.raises(RecordFormatError, match=r"a header of .* in a file of"):
            open_record(SMALL[:n])
    with pytest.raises(RecordFormatError, match=r"bytes in a file of|cut short"):
        open_record(SMALL[: start + 10])


@pytest.mark.parametrize("old", [b"header_xxh3", b"\xa4data"])
def test_other_keys_around_the_checksum_of_the_header_are_refused(old: bytes) -> None:
    at = SMALL.rindex(old)
    damaged = bytearray(SMALL)
    damaged[at + 1] ^= 1

    with pytest.raises(RecordFormatError, match="other than a checksum and data"):
        open_record(bytes(damaged))


def test_headers_longer_than_what_is_read_first_are_read_whole() -> None:
    for n in (3700, 3800, 3900, 4000, 9000):
        record = Record.from_state_dict({"a": torch.ones(2)})
        data = Recorder().dumps(record, metadata={"x": "y" * n})

        assert open_record(data).metadata["x"] == "y" * n


@pytest.mark.parametrize(
    ("planes", "problem"),
    [
        ([1], "'i' in planes, with its dtype"),
        ([2], "a damaged column of planes"),
        ([0, 0], "a damaged column of planes"),
        ([-1], "number among the planes -1"),
        (["0"], "number among the planes '0'"),
    ],
)
def test_planes_are_of_entries_that_may_be_in_them(
    planes: list[Any], problem: str
) -> None:
    data = Recorder().dumps(
        Record.from_state_dict({"f": torch.ones(2), "i": torch.arange(2)})
    )

    def change(header: Any) -> Any:
        header["tensors"]["planes"] = planes
        return header

    with pytest.raises(RecordFormatError, match=problem):
        open_record(with_header(data, change))


def test_damage_between_the_payloads_is_told_by_the_next_one() -> None:
    tensors = {str(n): torch.full((n,), n, dtype=torch.uint8) for n in range(1, 4)}
    data = Recorder().dumps(Record.from_state_dict(tensors))
    start = data.rindex(b"\xa4data\xdd") + 5

    def changed(at: int) -> Any:
        damaged = bytearray(data)
        damaged[at] ^= 1
        return open_record(bytes(damaged))

    for i, path in enumerate(tensors):
        at = start + 64 * (i + 1) - 1
        for place in (at, at - 1, at - 4, at - 5, at - 10):
            with pytest.raises(RecordFormatError, match=f"before payload {i}"):
                changed(place).load_all()
        with pytest.raises(RecordChecksumError, match=path):
            _ = changed(at + 1)[path]
    with pytest.raises(RecordFormatError, match="a different number of payloads"):
        changed(start + 4).load_all()
    with pytest.raises(RecordChecksumError, match="the checksums"):
        changed(len(data) - 1).load_all()


@pytest.mark.parametrize("sizes", [(3, 1), (1, 3, 1), (2, 2), (5,)])
def test_entries_too_long_for_one_piece_are_read_and_verified(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, same: Same, tmp_path: Path
) -> None:
    for name in ("layout.LONGEST_BIN", "layout.PART", "messagepack.PART"):
        monkeypatch.setattr(f"burnish.records.formats.{name}", 1 << 16)
    tensors = {
        str(i): torch.arange(n << 14).to(torch.float32) + i for i, n in enumerate(sizes)
    }
    file = tmp_path / "m.mpk"
    Record.from_state_dict(tensors).save(file)

    with open_record(file) as record:
        assert all(same(record[path], tensors[path]) for path in tensors)
        record.load_all()
        assert record.verified == "all"
    document: Any = msgpack.unpackb(file.read_bytes())
    assert b"".join(document["data"][1::2]) == b"".join(
        t.numpy().tobytes() for t in tensors.values()
    )
    if max(sizes) > 1:
        damaged = bytearray(file.read_bytes())
        start = damaged.rindex(b"\xa4data\xdd") + 5
        i = next(i for i, n in enumerate(sizes) if n > 1)
        before = sum(n * (1 << 16) + 64 * n for n in sizes[:i])
        damaged[start + 64 + before + (1 << 16) + 63 - 4] ^= 1
        with pytest.raises(RecordFormatError, match=f"before payload {i}"):
            open_record(bytes(damaged)).load_all()


@pytest.mark.parametrize("block_sums", [None, 1 << 20])
@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("size", [100, 300_000])
def test_another_document_written_over_an_open_one_is_not_taken_for_it(
    size: int, is_mapped: bool, block_sums: int | None, tmp_path: Path
) -> None:
    recorder, files = Recorder(block_sums=block_sums), [tmp_path / n for n in "ab"]
    for value, file in enumerate(files):
        tensors = {name: torch.full((size,), float(value)) for name in "xyz"}
        recorder.save(Record.from_state_dict(tensors), file)
    record = open_record(files[0], mmap=is_mapped)

    # In place, as `cp` writes: its sums are right, and are those of another one.
    with files[0].open("r+b") as opened:
        opened.write(files[1].read_bytes())

    with pytest.raises(RecordChecksumError, match="the bytes of z"):
        record["z"]
    with pytest.raises(RecordChecksumError, match="the bytes of x"):
        record.load_all()
