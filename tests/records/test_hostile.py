"""Hostile and damaged files: a `RecordError`, or the record that was saved; no more.

The numbered tests are the checks that a loader needs, one by one.
"""

import gzip
import io
import json
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch
import xxhash
import zstandard

from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.entry import Entry, ParamId
from burnish.records.flat import FlatRecord
from burnish.records.formats.zstd_frames import FrameWriter, raw_frame
from burnish.records.recorder import Recorder
from burnish.records.sink import StreamSink

N_MUTATED = 2_000


class Nested(Record):
    name: str
    values: list[torch.Tensor]
    rate: float = 0.5


def small() -> FlatRecord:
    """Return a record with something of everything, in few bytes."""
    weight = torch.tensor([[1.5, -0.0], [float("nan"), 3e-39]])
    entries = [
        entry("a.w", "parameter", weight, ParamId("a" * 13), ties=("b.w",)),
        entry(
            "a.h", "parameter", torch.ones(3, dtype=torch.float16), ParamId("c" * 13)
        ),
        entry("flag", "buffer", torch.tensor([True, False])),
        entry("n", "transient", torch.arange(3)),
        entry("none", "buffer", torch.ones(0, 2)),
    ]
    return FlatRecord.of(
        entries,
        tree={"a._extra_state": {"$tuple": [1, "x", None]}},
        metadata={"epoch": 3, "burnish": {"type": "Net"}},
        type_name="Net",
    )


def entry(
    path: str,
    kind: Any,
    tensor: torch.Tensor,
    id_: ParamId | None = None,
    ties: tuple[str, ...] = (),
) -> Entry:
    shape = tuple(tensor.shape)
    return Entry(
        path, kind, tensor.dtype, shape, tensor, id_, kind == "parameter", ties
    )


def torch_file() -> bytes:
    memory = io.BytesIO()
    state = {"w": torch.arange(6.0).view(2, 3), "b": torch.ones(2), "epoch": 3}
    torch.save({"model": state, "lr": 0.1}, memory)
    return memory.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "mpk": lambda: Recorder().dumps(small()),
    "mpk.zst": lambda: Recorder("mpk", "zst").dumps(small()),
    "mpk.gz": lambda: Recorder("mpk", "gz").dumps(small()),
    "json": lambda: Recorder("json").dumps(small()),
    "json base64": lambda: Recorder("json", payload="base64").dumps(small()),
    "json.zst": lambda: Recorder("json", "zst").dumps(small()),
    "safetensors": lambda: Recorder("safetensors").dumps(small()),
    "torch": torch_file,
}
SUMMED = ["mpk", "mpk.zst", "mpk.gz"]


def said(data: bytes) -> Any:
    """Return all that a file says, or None if it is refused."""
    try:
        record = open_record(data)
        record.load_all()
        entries = [
            (
                e.path,
                e.kind,
                e.dtype,
                e.shape,
                e.id,
                e.requires_grad,
                e.ties,
                e.tensor().contiguous().view(-1).view(torch.uint8).tolist()
                if e.nbytes and not e.tensor().is_complex()
                else None,
            )
            for e in record.entries()
        ]
        return entries, record.metadata, record.tree, record.type_name
    except RecordError:
        return None


@pytest.mark.parametrize("name", SUMMED)
def test_every_flipped_bit_is_noticed_or_changes_nothing(name: str) -> None:
    data = bytearray(FILES[name]())
    expected, wrong = said(bytes(data)), list[int]()

    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        if said(bytes(data)) not in (None, expected):
            wrong.append(bit)
        data[bit // 8] ^= 1 << bit % 8

    assert expected is not None
    assert wrong == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_any_length_is_refused(name: str) -> None:
    data = FILES[name]()
    lengths = range(len(data) - 1) if "json" in name else range(len(data))

    read = [n for n in lengths if said(data[:n]) is not None]

    assert read == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_bytes_after_its_end_is_refused(name: str) -> None:
    data = FILES[name]()

    if name != "torch":
        assert said(data + b"\x01") is None
        assert said(data + data) is None


@pytest.mark.parametrize("name", FILES)
def test_thousands_of_damaged_files_are_refused_or_read_whole(name: str) -> None:
    data, draw = FILES[name](), random.Random(name)
    expected, wrong = said(data), list[bytes]()

    for _ in range(N_MUTATED):
        damaged = mutated(data, draw)
        found = said(damaged)
        if name in SUMMED and found not in (None, expected):
            wrong.append(damaged)

    assert wrong == []


@pytest.mark.parametrize("name", ["mpk", "mpk.zst", "json", "safetensors", "torch"])
def test_thousands_of_files_with_valid_sums_and_wild_content_are_refused_or_read(
    name: str,
) -> None:
    data, draw = FILES[name](), random.Random(name)

    outcomes = [said(FORGERS[name](data, draw)) for _ in range(N_MUTATED)]

    assert None in outcomes


ODD: list[Any] = [
    None, True, False, -1, 0, 1, 255, 2**31, 2**53, 2**63 - 1, -(2**63), 1.5, -0.0,
    "", "a.w", "..", "\0", "float32", "object", "x" * 5000, [], {}, [[]], [0], [1, 2],
    {"$tensor": 0}, {"$tensor": 99}, {"$int": "9" * 5000}, {"$float": "nan"},
    {"$record": ["X", {}]}, {"$dict": [["a", 1], ["a", 2]]}, {"$new": 1}, [[[[[[]]]]]],
]  # fmt: skip


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Return ``data`` with one to three kinds of damage."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = draw.randrange(len(out) + 1)
        end = min(len(out), at + draw.choice((1, 2, 4, 8, 30)))
        match draw.randrange(8):
            case 0 if at < len(out):
                out[at] ^= 1 << draw.randrange(8)
            case 1 if at < len(out):
                out[at] = draw.randrange(256)
            case 2:
                del out[at:]
            case 3:
                del out[at:end]
            case 4:
                out[at:at] = draw.randbytes(draw.choice((1, 4, 64)))
            case 5:
                out[at:end] = bytes(end - at)
            case 6:
                out[at : at + 4] = draw.choice(NUMBERS)
            case _:
                other = draw.randrange(len(out) + 1)
                out[at:end] = out[other : other + end - at]
        if not out:
            break
    return bytes(out)


NUMBERS = [
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\x80",
    bytes(4),
    b"\xdd\xff\xff\xff",
]


def wild(node: Any, draw: random.Random) -> Any:
    """Return plain data with something in it replaced, left out, or doubled."""
    if isinstance(node, dict) and node and draw.random() < 0.85:
        key = draw.choice(list(node))
        if draw.random() < 0.1:
            return {k: v for k, v in node.items() if k != key}
        return {**node, key: wild(node[key], draw)}
    if isinstance(node, list) and node and draw.random() < 0.85:
        i = draw.randrange(len(node))
        if draw.random() < 0.1:
            return node[:i] + node[i + 1 :]
        if draw.random() < 0.1:
            return [*node, node[i]]
        return [*node[:i], wild(node[i], draw), *node[i + 1 :]]
    return draw.choice(ODD)


def with_header(data: bytes, change: Callable[[Any], Any]) -> bytes:
    """Return an `.mpk` file with another header, its checksum right."""
    header: Any = msgpack.unpackb(msgpack.unpackb(data)["header"])
    del header["pad"]
    header = change(header)
    packed: Any = msgpack.packb(
        {**header, "pad": b""} if isinstance(header, dict) else header
    )
    pad = -(22 + len(packed) + 27) % 64
    packed = packed[:-1] + bytes([pad]) + bytes(pad)
    return b"".join(
        (
            data[:18],
            struct.pack(">I", len(packed)),
            packed,
            b"\xabheader_xxh3\xc4\x08",
            xxhash.xxh3_64_digest(packed),
            data[data.rindex(b"\xa4data\xdd") :],
        )
    )


def content_of(data: bytes) -> bytes:
    context = zstandard.ZstdDecompressor()
    return context.stream_reader(io.BytesIO(data), read_across_frames=True).read()


def in_frames(content: bytes) -> bytes:
    memory = io.BytesIO()
    writer = FrameWriter(StreamSink(memory), 1)
    writer.matches(content)
    writer.close()
    return memory.getvalue()


def forged_mpk(data: bytes, draw: random.Random) -> bytes:
    return with_header(data, lambda header: wild(header, draw))


def forged_zst(data: bytes, draw: random.Random) -> bytes:
    content = forged_mpk(content_of(data), draw)
    return in_frames(mutated(content, draw) if draw.random() < 0.3 else content)


def forged_json(data: bytes, draw: random.Random) -> bytes:
    return json.dumps(wild(json.loads(data), draw)).encode()


def forged_safetensors(data: bytes, draw: random.Random) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    if draw.random() < 0.5:
        ours = wild(json.loads(header["__metadata__"]["burnish"]), draw)
        header["__metadata__"]["burnish"] = json.dumps(ours)
    else:
        header = wild(header, draw)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def forged_torch(data: bytes, draw: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("data.pkl"))
    members[name] = mutated(members[name], draw)
    with zipfile.ZipFile(memory := io.BytesIO(), "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return memory.getvalue()


FORGERS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "mpk": forged_mpk,
    "mpk.zst": forged_zst,
    "json": forged_json,
    "safetensors": forged_safetensors,
    "torch": forged_torch,
}


def refused(data: bytes, error: type[RecordError] = RecordFormatError) -> str:
    with pytest.raises(error) as caught:
        open_record(data).load_all()
    return str(caught.value)


def table_with(**columns: Any) -> bytes:
    """Return an `.mpk` file of `small` with other columns, its checksum right."""

    def change(header: Any) -> Any:
        header["tensors"].update(columns)
        return header

    return with_header(FILES["mpk"](), change)


def replaced(key: str, value: Any) -> Callable[[Any], Any]:
    return lambda header: {**header, key: value}


def column(name: str) -> list[Any]:
    header: Any = msgpack.unpackb(msgpack.unpackb(FILES["mpk"]())["header"])
    values: list[Any] = header["tensors"][name]
    return values


def test_check_01_magic_and_version_come_first() -> None:
    newer = bytearray(FILES["mpk"]())
    newer[9] = 77

    assert "version 77" in refused(bytes(newer), RecordVersionError)
    assert "those of a known format" in refused(b"\x93NUMPY\x01\x00")


def test_check_02_a_header_longer_than_the_file_is_not_allocated() -> None:
    data = bytearray(FILES["mpk"]())
    data[18:22] = b"\xff\xff\xff\xff"

    assert "4,294,967,295" in refused(bytes(data))


def test_check_03_the_header_has_a_checksum() -> None:
    data = FILES["mpk"]().replace(b"a.w", b"a.x", 1)

    assert "the header" in refused(data, RecordChecksumError)


def test_check_04_text_is_strict_utf8() -> None:
    data = with_header(FILES["mpk"](), lambda h: {**h, "type": "Net"})

    bad = with_raw_header(
        data, lambda packed: packed.replace(b"\xa3Net", b"\xa3\xff\xfe\xfd")
    )
    assert "utf-8" in refused(bad)
    assert refused(FILES["json"]().replace(b'"Net"', b'"\xff"'))


def test_check_05_json_keys_are_unique_numbers_finite_and_depth_bounded() -> None:
    data = FILES["json"]()

    assert "twice" in refused(data.replace(b'"epoch":3', b'"epoch":3,"epoch":4'))
    for bad in (b"NaN", b"Infinity", b"1e999", b"1" * 30, b"[" * 300 + b"]" * 300):
        assert refused(data.replace(b'"epoch":3', b'"epoch":' + bad))


def test_check_06_messagepack_is_plain_data_with_text_keys() -> None:
    data = FILES["mpk"]()
    ext, number_key = b"\xd4\x01\x00", b"\x81\x01\x02"

    def with_epoch(value: bytes) -> bytes:
        return with_raw_header(
            data, lambda p: p.replace(b"\xa5epoch\x03", b"\xa5epoch" + value)
        )

    assert "extension" in refused(with_epoch(ext))
    assert "damaged header" in refused(with_epoch(number_key))
    assert "twice" in refused(with_epoch(b"\x82\xa1x\x01\xa1x\x02"))
    assert "damaged header" in refused(with_epoch(b"\x91" * 2000 + b"\x01"))


def test_check_07_keys_are_exactly_those_of_the_version() -> None:
    more = with_header(FILES["mpk"](), lambda h: {**h, "more": 1})

    assert "other keys" in refused(more)
    assert "other columns" in refused(table_with(more=[]))


def test_check_08_dtypes_are_those_of_the_list() -> None:
    for dtype in ("object", "complex256", "qint8", "__class__", None, 3):
        dtypes = [dtype, *column("dtype")[1:]]
        assert "unknown dtype" in refused(table_with(dtype=dtypes))


def test_check_09_shapes_are_sizes_whose_product_is_the_payload() -> None:
    for shape in ([-1], [2.0], "22", [2**62], [True], [1] * 65, [4, 2]):
        assert refused(table_with(shape=[shape, *column("shape")[1:]]))
    assert "bytes in a file of" in refused(
        table_with(shape=[[2**40, 2**40], *column("shape")[1:]])
    )


def test_check_10_payloads_lie_where_they_must_with_no_hole_or_overlap() -> None:
    offsets = column("offset")

    for other in (
        offsets[::-1],
        [offsets[0]] * 5,
        [o + 64 for o in offsets],
        [-64] * 5,
    ):
        assert "other places" in refused(table_with(offset=other))
    data = bytearray(FILES["mpk"]())
    pad = data.rindex(b"\xa4data\xdd") + 12
    data[pad] = 1
    assert "damage before payload 0" in refused(bytes(data))


def test_check_11_nothing_stands_after_the_end() -> None:
    for name in ("mpk", "mpk.zst", "mpk.gz", "json", "safetensors"):
        assert refused(FILES[name]() + b"x")


def test_check_12_names_are_short_and_plain() -> None:
    for name in ("", "a\0b", "a..b", "x" * 4097):
        assert refused(table_with(path=[name, *column("path")[1:]]))


def test_check_13_declared_bytes_are_bounded_by_the_file() -> None:
    shapes = [[1 << 30], *column("shape")[1:]]

    assert "bytes in a file of" in refused(table_with(shape=shapes))


def test_check_14_frames_tile_the_file_match_the_table_and_decode_to_their_size() -> (
    None
):
    data = FILES["mpk.zst"]()
    content, level = content_of(data), zstandard.ZstdCompressor(write_checksum=True)
    whole, bare = level.compress(content), zstandard.compress(content)
    half = len(content) // 2
    two = level.compress(content[:half]) + level.compress(content[half:])
    stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    sizeless = stream.compress(content) + stream.flush()
    right = in_table([whole], [len(content)])

    assert said(right) == said(data)
    assert "not what its table says" in refused(in_table([whole], [len(content) + 1]))
    assert "not what its table says" in refused(in_table([bare], [len(content)]))
    assert "not what its table says" in refused(in_table([sizeless], [len(content)]))
    assert refused(in_table([two], [half]), RecordChecksumError)
    assert refused(in_table([two], [len(content)]))
    assert "do not fill the file" in refused(in_table([whole, b""], [len(content), 0]))
    assert "do not fill the file" in refused(in_table([whole], [1 << 31]))
    assert refused(right[:16] + right[20:])
    assert "cut short" in refused(right[:-9])
    damaged = bytearray(right)
    damaged[16 + len(whole) // 2] ^= 1
    assert refused(bytes(damaged), RecordChecksumError)


def test_check_15_a_payload_is_compared_with_its_sum_before_it_is_seen() -> None:
    for name in ("mpk", "safetensors"):
        data = FILES[name]()
        at = data.index(torch.ones(3, dtype=torch.float16).numpy().tobytes())
        damaged = bytearray(data)
        damaged[at] ^= 1
        record = open_record(bytes(damaged))
        with pytest.raises(RecordChecksumError, match=r"a\.h"):
            _ = record["a.h"]


def test_check_16_booleans_are_0_or_1_and_nan_keeps_its_bits() -> None:
    flags = torch.tensor([2, 0], dtype=torch.uint8).view(torch.bool)
    odd = torch.tensor([0x7FC00001, -4194303]).to(torch.int32).view(torch.float32)

    for recorder in (Recorder(), Recorder("mpk", "zst"), Recorder("safetensors")):
        assert "no boolean" in refused(
            recorder.dumps(Record.from_state_dict({"f": flags}))
        )
        found = open_record(recorder.dumps(Record.from_state_dict({"o": odd})))["o"]
        assert torch.equal(found.view(torch.int32), odd.view(torch.int32))


def test_check_17_ties_and_references_name_what_exists() -> None:
    for ties in (
        [[9, ["x"]]],
        [[0, ["a.h"]]],
        [[0, ["x", "x"]]],
        [[0, []]],
        [[-1, ["x"]]],
    ):
        assert refused(table_with(ties=ties))
    for node in (
        {"$tensor": 5},
        {"$tensor": -1},
        {"$tensor": "0"},
        {"$tensor": 0, "x": 1},
    ):
        tree = {"a": node}
        assert refused(with_header(FILES["mpk"](), replaced("tree", tree)))


def test_check_18_two_parameters_never_share_an_id() -> None:
    ids = column("id")

    assert "two entries with the ID" in refused(
        table_with(id=[ids[0], ids[0], *ids[2:]])
    )
    assert "has the ID" in refused(table_with(id=["not base32 !!", *ids[1:]]))


def test_check_19_no_name_in_a_file_is_imported() -> None:
    for name in ("antigravity.Net", "os.system", "this"):
        data = with_header(FILES["mpk"](), replaced("type", name))
        open_record(data).load_all()

    assert not {"antigravity", "this"} & sys.modules.keys()


def test_check_21_a_file_that_changes_while_it_is_open_is_noticed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.mpk"
    file.write_bytes(FILES["mpk"]())
    record = open_record(file, mmap=False)

    with file.open("r+b") as changed:
        changed.seek(FILES["mpk"]().index(struct.pack("<f", 1.5)))
        changed.write(b"\xff")

    with pytest.raises(RecordChecksumError, match=r"a\.w"):
        _ = record["a.w"]


def test_check_21_a_file_that_is_cut_while_it_is_open_is_noticed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.mpk"
    file.write_bytes(FILES["mpk"]())
    record = open_record(file, mmap=False)

    with file.open("r+b") as changed:
        changed.truncate(600)

    with pytest.raises(RecordFormatError, match="cut"):
        record.load_all()


def test_check_23_a_pickle_that_is_refused_is_not_read_another_way() -> None:
    memory = io.BytesIO()
    torch.save({"w": torch.ones(1), "f": io.BytesIO}, memory)

    assert "code and not data" in refused(memory.getvalue())


def test_check_25_what_the_reader_refuses_is_not_written() -> None:
    for path in ("", "a\0b", "a..b", "x" * 5000):
        record = FlatRecord.of([entry(path, "buffer", torch.ones(1))])
        for recorder in (Recorder(), Recorder("mpk", "zst"), Recorder("json")):
            with pytest.raises(RecordError):
                recorder.dumps(record)
    lists: Any = [[] for _ in range(800_000)]
    for recorder in (Recorder(), Recorder("json")):
        with pytest.raises(RecordError):
            recorder.dumps(small(), metadata={"x": lists})


def with_raw_header(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return an `.mpk` file whose header's bytes are changed, its checksum right."""
    header: bytes = msgpack.unpackb(data)["header"]
    body = header[: header.rindex(b"\xa3pad\xc4")]
    packed = change(body) + b"\xa3pad\xc4\0"
    assert packed[:-6] != body or change(b"") != b""
    pad = -(22 + len(packed) + 27) % 64
    packed = packed[:-1] + bytes([pad]) + bytes(pad)
    digest = xxhash.xxh3_64_digest(packed)
    rest = data[data.rindex(b"\xa4data\xdd") :]
    length = struct.pack(">I", len(packed))
    return data[:18] + length + packed + b"\xabheader_xxh3\xc4\x08" + digest + rest


def in_table(frames: list[bytes], sizes: list[int]) -> bytes:
    """Return an `.mpk.zst` file of ``frames`` that says ``sizes`` of their content."""
    rows = [(16, 0), *((len(f), n) for f, n in zip(frames, sizes, strict=True))]
    table = b"".join(struct.pack("<II", *row) for row in rows)
    foot = struct.pack("<IBI", len(rows), 0, 0x8F92EAB1)
    head = struct.pack("<II", 0x184D2A5E, len(table) + 9)
    return b"".join((FILES["mpk.zst"]()[:16], *frames, head, table, foot))


def lists_in_mpk() -> bytes:
    def change(header: Any) -> Any:
        return {**header, "metadata": {"x": [[] for _ in range(2_000_000)]}}

    return with_header(FILES["mpk"](), change)


def zeros_in_frames() -> bytes:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(1 << 20))
    return in_table([frame] * 4000, [1 << 20] * 4000)


def header_in_frames() -> bytes:
    """Return a file of a few kilobytes whose header has 90 MB of empty lists."""
    content = lists_in_mpk()
    head = content[:18] + struct.pack(">I", 90_000_000)
    frames = [b"".join(map(bytes, raw_frame(memoryview(head))))]
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(b"\x90" * (1 << 20))
    return in_table([*frames, *[frame] * 90], [len(head), *[1 << 20] * 90])


BOMBS: dict[str, Callable[[], bytes]] = {
    "lists in MessagePack": lists_in_mpk,
    "zeros in frames": zeros_in_frames,
    "a header in frames": header_in_frames,
    "lists in JSON": lambda: b'{"burnish":1,"metadata":[' + b"[]," * 2_000_000 + b"0]}",
    "maps in JSON": lambda: b'{"burnish":1,"metadata":[' + b"{}," * 2_000_000 + b"0]}",
    "texts in JSON": lambda: (
        b'{"burnish":1,"metadata":[' + b'"ab",' * 2_000_000 + b"0]}"
    ),
    "one long text": lambda: b'{"burnish":1,"type":"' + b"\\u1234" * 2_000_000,
    "lists in a row": lambda: FILES["json"]().replace(
        b'"shape":[2,2]', b'"shape":[' + b"[]," * 2_000_000 + b"0]"
    ),
    "numbers in a row": lambda: FILES["json"]().replace(
        b"1.5,", b"1," * 6_000_000 + b"1.5,"
    ),
    "maps among numbers": lambda: FILES["json"]().replace(
        b"1.5,", b"{}," * 2_000_000 + b"1.5,"
    ),
    "spaces": lambda: b" " * 40 + b'{"burnish":1' + b" " * 12_000_000,
    "lists in safetensors": lambda: (
        struct.pack("<Q", 6_000_009) + b'{"a":[' + b"[]," * 2_000_000 + b"0]}"
    ),
    "lists in a pickle": lambda: b"\x80\x02" + b"]" * 8_000_000 + b".",
    "tuples in a pickle": lambda: b"\x80\x02)" + b"\x85" * 8_000_000 + b".",
    "gzip": lambda: gzip.compress(bytes(1 << 20)) + b"x",
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_file_fills_the_memory(name: str) -> None:
    data = BOMBS[name]()
    before = resident("VmRSS")
    reset_peak()

    assert said(data) is None

    # Twice the file and 64 MiB; our own copy of the data was there before.
    assert resident("VmHWM") - before < 2 * len(data) + (64 << 20)


def resident(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


def reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system does not tell the peak of memory")
