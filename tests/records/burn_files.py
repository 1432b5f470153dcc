"""Files as Burn writes them, made from the facts of its formats and nothing of ours."""

import base64
import struct
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types

THEIR_DIGITS = str.maketrans(
    "abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv"
)


def cbor(node: Any) -> bytes:
    """Return ``node`` in the shortest CBOR."""
    if isinstance(node, dict):
        members = b"".join(cbor(k) + cbor(v) for k, v in node.items())
        return _head(5, len(node)) + members
    if isinstance(node, list):
        return _head(4, len(node)) + b"".join(map(cbor, node))
    if isinstance(node, str):
        return _head(3, len(node.encode())) + node.encode()
    if node is None:
        return b"\xf6"
    if isinstance(node, bool):
        return b"\xf5" if node else b"\xf4"
    if isinstance(node, float):
        return b"\xfb" + struct.pack(">d", node)
    return _head(0, node) if node >= 0 else _head(1, -1 - node)


def _head(major: int, count: int) -> bytes:
    if count < 24:
        return bytes([major << 5 | count])
    width = next(w for w in range(4) if count < 1 << (8 << w))
    return bytes([major << 5 | 24 + width]) + count.to_bytes(1 << width, "big")


def bpk(tables: Any, data: bytes = b"", *, version: int = 1, align: int = 256) -> bytes:
    """Return a container with these tables; Burn 0.19 did not align."""
    text = cbor(tables)
    head = b"NRUB" + struct.pack("<HI", version, len(text)) + text
    return head + bytes(-len(head) % align) + data


def tensor(
    dtype: Any, shape: list[int], start: int, end: int, param_id: int | None = None
) -> dict[str, Any]:
    """Return what a container says of one tensor."""
    row = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    return row if param_id is None else {**row, "param_id": param_id}


def bpk_of_burn() -> bytes:
    """Return a container with something of everything."""
    weight = struct.pack("<6f", 1.5, -0.0, float("inf"), 3e-39, -2.0, 7.0)
    half = struct.pack("<3e", 1, 2, 3)
    flags = struct.pack("<3I", 1, 0, 1)
    data = weight.ljust(256, b"\0") + half.ljust(256, b"\0") + flags
    return bpk(TABLES, data)


TABLES: dict[str, Any] = {
    "tensors": {
        "fc.weight": tensor("F32", [2, 3], 0, 24, 2**64 - 2),
        "flag": tensor({"Bool": "U32"}, [3], 512, 524),
        "norm.gamma": tensor("F16", [3], 256, 262, 7),
    },
    "metadata": {"producer": "burn", "version": "0.22.0"},
    "scalars": {"rate": {"Float": 0.5}, "step": {"UInt": 3}},
}
"""What that container says."""


def param(param_id: str, dtype: Any, shape: list[int], data: bytes) -> dict[str, Any]:
    """Return a parameter of a recorder."""
    return {"id": param_id, "param": {"bytes": data, "shape": shape, "dtype": dtype}}


def id_text(number: int) -> str:
    """Return an ID as Burn prints it."""
    digits = base64.b32encode(number.to_bytes(8, "little")).decode().lower()
    return digits.rstrip("=").translate(THEIR_DIGITS)


NOTES = {
    "float": "f32",
    "int": "i32",
    "format": "burn_core::record::file::NamedMpkFileRecorder<FullPrecisionSettings>",
    "version": "0.21.0",
    "settings": "FullPrecisionSettings",
}


def mpk(item: Any) -> bytes:
    """Return what a recorder writes of ``item``, a marker without a size behind it."""
    return bytes(msgpack.packb({"metadata": NOTES, "item": item, "_b": []}) or b"")


def mpk_of_burn() -> bytes:
    """Return the file of a module of two layers, one of them in a list."""
    linear = {
        "weight": param(
            id_text(9), "F32", [2, 3], struct.pack("<6f", 1, 2, 3, 4, 5, 6)
        ),
        "bias": None,
    }
    norm = {
        "gamma": param(id_text(2**63 + 1), "F16", [3], struct.pack("<3e", 1, 2, 3)),
        "beta": param("30b82c23-788d-4d63-a743-ada258d5f13c", "BF16", [1], b"\x80\x3f"),
        "epsilon": None,
        "flags": {"bytes": b"\0\1", "shape": [2], "dtype": {"Bool": "Native"}},
        "steps": 3,
    }
    return mpk({"fc": linear, "norms": [norm], "act": {}})
