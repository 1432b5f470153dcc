"""Damaged files: bytes changed anywhere, or wild headers with valid sums."""

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types

from burnish.records.formats.zstd_frames import FrameWriter
from burnish.records.io.sink import StreamSink

from ..records.burn_files import TABLES, bpk
from ..records.hostile_files import content_of, with_header

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


def forged_bpk(data: bytes, draw: random.Random) -> bytes:
    """Return a container of Burn with wild tables, and as many bytes as they say."""
    tables = wild(TABLES, draw)
    ends = re.findall(r"'data_offsets': \[\d+, (\d+)\]", str(tables))
    size = max([int(end) for end in ends if int(end) < 10_000], default=0)
    return bpk(tables, bytes(size))


def forged_burn_mpk(data: bytes, draw: random.Random) -> bytes:
    packed: Any = msgpack.packb(wild(msgpack.unpackb(data), draw))
    return bytes(packed)


FORGERS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "mpk": forged_mpk,
    "mpk.zst": forged_zst,
    "json": forged_json,
    "safetensors": forged_safetensors,
    "torch": forged_torch,
    "bpk of Burn": forged_bpk,
    "mpk of Burn": forged_burn_mpk,
}
