"""Formats of users: what is done for them, and what they cannot forget."""

import json
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from burnish.records import (
    ByteRange,
    Contents,
    FlatRecord,
    Format,
    Precision,
    Record,
    RecordChecksumError,
    Recorder,
    RecordError,
    RecordFormatError,
    StoredContents,
    WriteOptions,
    open_record,
    verify_file,
)
from burnish.records.io.sink import Sink
from burnish.records.io.source import Source
from burnish.records.tensors.byte_planes import PLANED


class Plain(Format):
    """Payloads one after the other, then a header in JSON, sums, and two lengths."""

    name = "plain"
    suffixes = (".plain",)
    magic = b"PLAIN\n"

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        sink.write(self.magic)
        for payload in contents.payloads():
            for chunk in payload:
                sink.write(chunk)
        text, sums = json.dumps(contents.header).encode(), contents.sums
        sink.write(text + sums + struct.pack("<QQ", len(text), len(sums)))

    def decode(self, source: Source) -> StoredContents:
        lengths = struct.unpack("<QQ", source.read(source.size - 16, 16))
        start = source.size - 16 - sum(lengths)
        text = bytes(source.read(start, lengths[0]))
        sums = bytes(source.read(start + lengths[0], lengths[1]))
        header = json.loads(text)
        at, places = len(self.magic), list[Any]()
        for dtype, shape in zip(
            header["tensors"]["dtype"], header["tensors"]["shape"], strict=True
        ):
            size = getattr(torch, dtype).itemsize * int(torch.tensor(shape).prod())
            places.append(ByteRange(at, size))
            at += size
        return StoredContents(header=header, payloads=places, sums=sums)


class Framed(Format):
    """A length and a JSON header, then each payload compressed, its sum before it."""

    name = "framed"
    suffixes = (".framed",)
    magic = b"FRAMED"

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        text = json.dumps(contents.header).encode()
        sink.write(self.magic + struct.pack("<Q", len(text)) + text)
        for payload in contents.payloads():
            pack = zlib.compressobj()
            data = b"".join(map(pack.compress, payload)) + pack.flush()
            sink.write(payload.sum + struct.pack("<Q", len(data)) + data)

    def decode(self, source: Source) -> StoredContents:
        (length,) = struct.unpack("<Q", source.read(6, 8))
        header, at = json.loads(bytes(source.read(14, length))), 14 + length
        sums, payloads = b"", list[Any]()
        for _ in header["tensors"]["path"]:
            sums += bytes(source.read(at, 8))
            (size,) = struct.unpack("<Q", source.read(at + 8, 8))
            payloads.append(partial(self._unpacked, source, at + 16, size))
            at += 16 + size
        return StoredContents(header=header, payloads=payloads, sums=sums)

    @staticmethod
    def _unpacked(source: Source, at: int, size: int, row: Any) -> bytes:
        reads.append(row.path)
        unpack = zlib.decompressobj()
        return unpack.decompress(source.read(at, size), row.size + 1)


class Planed(Framed):
    """The same with floats in planes."""

    name = "planed"
    suffixes = (".planed",)
    magic = b"PLANED"
    planed: ClassVar[frozenset[torch.dtype]] = PLANED


class Plain64(Framed):
    """The same, written with few system calls, and with sums that come first."""

    name = "plain64"
    suffixes = (".plain64",)
    magic = b"PLAINQ"

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        contents.hash_ahead()
        text = json.dumps(contents.header).encode()
        sink.write(self.magic + struct.pack("<Q", len(text)) + text + contents.sums)
        frames = [struct.pack("<Q", size) for size in contents.sizes]
        contents.write_payloads(sink, frames)

    def decode(self, source: Source) -> StoredContents:
        (length,) = struct.unpack("<Q", source.read(6, 8))
        header, at = json.loads(bytes(source.read(14, length))), 14 + length
        n_rows = len(header["tensors"]["path"])
        sums, at = bytes(source.read(at, 8 * n_rows)), at + 8 * n_rows
        places = list[ByteRange]()
        for _ in range(n_rows):
            (size,) = struct.unpack("<Q", source.read(at, 8))
            places.append(ByteRange(at + 8, size))
            at += 8 + size
        return StoredContents(header=header, payloads=places, sums=sums)


reads: list[str] = []
ALL: list[type[Format]] = [Plain, Framed, Planed, Plain64]


@pytest.fixture(autouse=True)
def registered(formats_as_before: None) -> None:
    for form in ALL:
        form.register()
    reads.clear()


class State(Record):
    """Everything that a record can hold."""

    step: int
    moments: list[torch.Tensor]
    tied: torch.Tensor
    note: str = "é"


def weights() -> FlatRecord:
    torch.manual_seed(0)
    weight = torch.randn(300, 1000)
    state = {"a.weight": weight, "b.bias": torch.randn(70), "head": weight}
    state |= {"t": weight[:50].T, "steps": torch.tensor(3), "none": torch.empty(0, 2)}
    return Record.from_state_dict(state)


@pytest.mark.parametrize("form", ALL)
@pytest.mark.parametrize("precision", [None, "half", "bfloat16", "double"])
def test_precision_is_applied_for_a_format(
    form: type[Format], precision: Any, tmp_path: Path
) -> None:
    record, file = weights(), tmp_path / f"x.{form.name}"
    dtype = Precision.of(precision).param or torch.float32

    record.save(file, precision=precision)

    with open_record(file) as back:
        assert back.reading.format == form.name
        for entry in record.entries():
            values = entry.tensor()
            wanted = values.to(dtype) if values.is_floating_point() else values
            assert back[entry.path].dtype is wanted.dtype
            assert torch.equal(back[entry.path], wanted)
    with pytest.raises(RecordError, match="b: 1e\\+30 does not fit float16"):
        Record.from_state_dict({"b": torch.tensor([1e30])}).save(file, precision="half")
    assert "head" in open_record(file)


@pytest.mark.parametrize("form", ALL)
def test_checksums_ties_and_typed_records_come_with_a_format(
    form: type[Format], tmp_path: Path
) -> None:
    file, moment = tmp_path / f"x.{form.name}", torch.randn(40, 40)

    State(step=3, moments=[moment, torch.ones(2)], tied=moment).save(file)

    assert verify_file(file, strict=True).verified == "all"
    back = State.load(file)
    assert (back.step, back.note) == (3, "é")
    assert torch.equal(back.moments[0], moment)
    assert back.tied is back.moments[0]
    raw = bytearray(file.read_bytes())
    place = len(raw) // 2 if form is not Plain else 100
    raw[place] ^= 1
    with pytest.raises((RecordChecksumError, RecordFormatError), match="moments"):
        verify_file(bytes(raw))


@pytest.mark.parametrize("form", ALL)
def test_a_format_is_read_lazily(form: type[Format], tmp_path: Path) -> None:
    file = tmp_path / f"x.{form.name}"
    weights().save(file)

    with open_record(file) as record:
        assert reads == []
        bias = record["b.bias"]

        assert bias.shape == (70,)
        assert record["head"] is record["a.weight"]
        assert reads in ([], ["b.bias", "a.weight"])


@pytest.mark.parametrize("form", ALL)
def test_every_cut_of_a_users_file_is_an_error_of_ours(form: type[Format]) -> None:
    data = Recorder(form.name).dumps(weights().select(only=["b.bias", "steps"]))

    for end in range(len(data)):
        with pytest.raises(RecordError):
            open_record(data[:end]).load_all()


class Forgetful(Plain):
    """Leaves out what a subclass says."""

    name = "forgetful"
    suffixes = (".forgetful",)
    magic = b"FORGET"
    skips: ClassVar[str]

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        for payload in contents.payloads():
            for _ in payload:
                if self.skips == "chunks":
                    break
            if self.skips == "reading":
                list(payload)
            if self.skips == "payloads":
                break
        if self.skips != "sums":
            sink.write(contents.sums)


@pytest.mark.parametrize(
    ("part", "error", "message"),
    [
        ("chunks", RecordError, "a.weight.* to its end"),
        ("payloads", RecordError, "b.bias.* to its end"),
        ("sums", RecordError, "'forgetful' has stored no checksums"),
        ("reading", RuntimeError, "a.weight: its payload was read twice"),
    ],
)
def test_what_a_format_leaves_out_is_an_error_and_the_old_file_stays(
    part: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    class Case(Forgetful):
        skips = part

    Case.register()
    file = tmp_path / "x.forgetful"
    file.write_bytes(b"old")

    with pytest.raises((error, RuntimeError), match=message):
        weights().save(file)

    assert file.read_bytes() == b"old"


def test_an_older_format_is_refused_with_what_to_change() -> None:
    class Old(Format):
        name = "old"
        suffixes = (".old",)

        def write(self, record: Any, sink: Any, options: Any) -> None:
            """Do what formats did."""

        def read(self, source: Any) -> Any:
            """Do what formats did."""

    class Empty(Format):
        """Nothing of the contract."""

    with pytest.raises(TypeError, match=r"Old lacks decode, encode\. .*Change write"):
        Old.register()
    with pytest.raises(ValueError, match="there is no format 'old'"):
        Recorder("old")
    with pytest.raises(TypeError, match="lacks decode, encode, name, suffixes"):
        Empty.register()


@pytest.mark.parametrize(
    "place", [ByteRange(0, 4), ByteRange(-8, 8), ByteRange(0, 1 << 60), ("0", 8), None]
)
def test_places_that_cannot_be_are_damage(place: Any) -> None:
    class Misplaced(Plain64):
        name = "misplaced"
        suffixes = (".misplaced",)
        magic = b"MISPLC"

        def decode(self, source: Source) -> StoredContents:
            right = super().decode(source)
            payloads = [ByteRange(*place)] if place else []
            return StoredContents(
                header=right.header, payloads=payloads, sums=right.sums
            )

    Misplaced.register()
    data = Recorder("misplaced").dumps(Record.from_state_dict({"a": torch.ones(2)}))

    with pytest.raises(RecordFormatError):
        open_record(data)
