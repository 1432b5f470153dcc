"""Small files of every format, and what `open_record` says of changed ones."""

import io
import struct
from collections.abc import Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import torch
import xxhash
import zstandard

from burnish.records import (
    RecordError,
    open_record,
)
from burnish.records.entries.entry import Entry, ParamId
from burnish.records.flat_record import FlatRecord
from burnish.records.recorder import Recorder

from .burn_files import bpk_of_burn, mpk_of_burn


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
    "json.gz": lambda: Recorder("json", "gz").dumps(small()),
    "json.zst": lambda: Recorder("json", "zst").dumps(small()),
    "safetensors": lambda: Recorder("safetensors").dumps(small()),
    "torch": torch_file,
    "bpk": lambda: Recorder("bpk").dumps(small()),
    "bpk of Burn": bpk_of_burn,
    "mpk of Burn": mpk_of_burn,
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
