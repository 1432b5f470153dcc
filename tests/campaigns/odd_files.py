"""Small files with what the others lack: seeds of the guided run."""

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from burnish.records.entries.entries import with_parts
from burnish.records.recorder import Recorder

from ..records.hostile_files import (
    FILES,
    content_of,
    in_table,
    small,
    with_header,
    with_raw_header,
)
from .mutations import in_frames


def library_file(metadata: Mapping[str, str]) -> bytes:
    """Return a `.safetensors` file as the library writes it, with ties."""
    rows = {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "I8", "shape": [], "data_offsets": [8, 9]},
    }
    text = json.dumps({"__metadata__": dict(metadata), **rows}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(9)


def _long(name: str, value: object) -> bytes:
    record = with_parts(small(), metadata={"x": value})
    return RECORDERS[name].dumps(record)


RECORDERS = {"mpk": Recorder(), "json": Recorder("json"), "st": Recorder("safetensors")}


def _deep(depth: int) -> Any:
    node: Any = 1
    for _ in range(depth):
        node = [node]
    return node


TREES: list[Any] = [
    5, [], {"a": 1, "b": {"c": [1, {"$tuple": [1, [2]]}]}}, {"a": {"$tensor": 4}},
    {"a": {"$tensor": 5}}, {"a": {"$array": 0}}, {"a": {"$tensor": True}},
    {"a": {"$tensor": -1}}, {"a": {"$tensor": "x"}}, {"a": {"$bytes": 3}},
    {"a": {"$int": "123"}}, {"a": {"$int": "-5"}}, {"a": {"$int": "--5"}},
    {"a": {"$int": "5-"}}, {"a": {"$int": "x"}}, {"a": {"$int": "\u0661"}},
    {"a": {"$int": 5}}, {"a": {"$int": "9" * 4001}}, {"a": {"$int": "9" * 1900}},
    {"a": {"$float": "nan"}}, {"a": {"$float": "x"}}, {"a": {"$float": []}},
    {"a": {"$new": 1}}, {"a": {"$tensor": 1, "b": 2}}, {"a": {1: 2}}, {"a": b"x"},
    {"a": {"$record": ["X", {"y": [1]}]}}, {"a": {"$record": ["X", {1: 2}]}},
    {"a": {"$record": ["X"]}}, {"a": {"$record": [1, {}]}}, {"a": {"$record": "X"}},
    {"a": {"$record": ["X", []]}}, {"a": {"$dict": [["$b", [1]], ["c", 2]]}},
    {"a": {"$dict": [["b", 1], ["b", 2]]}}, {"a": {"$dict": [["b"]]}},
    {"a": {"$dict": [[1, 1]]}}, {"a": {"$dict": 5}}, {"a": {"$dict": [5]}},
    {"a": {"$tuple": 5}}, {"a": {"$tuple": []}}, {"a": _deep(140)}, {"a": _deep(100)},
    {"a": {"$dtype": "float32"}}, {"a": {"$dtype": "x"}}, {"a": {"$device": "cpu"}},
]  # fmt: skip
"""Plain data, good and bad: of a module, of a record's fields, of metadata."""

COLUMNS: list[tuple[str, Any]] = [
    ("ties", [[0, []]]), ("ties", [[0, "x"]]), ("ties", [[0, [1]]]),
    ("ties", [[9, ["x"]]]),
    ("ties", [[0, ["x"]], [0, ["y"]]]), ("ties", [[0, ["x", "x"]]]),
    ("ties", [[0, [""]]]),
    ("ties", [[0, ["a..b"]]]), ("ties", [[0, ["a\\..b"]]]), ("ties", [[0, ["\0"]]]),
    ("ties", [[0, ["x" * 1025]]]), ("ties", [[0, ["x" * 4097]]]), ("ties", [[0]]),
    ("ties", [5]), ("ties", [["x", ["y"]]]), ("ties", [[-1, ["y"]]]), ("ties", []),
    ("memory_format", [[0, "channels_last"]]), ("memory_format", [[0, "x"]]),
    ("memory_format", [[0, []]]), ("memory_format", [[9, "channels_last"]]),
    ("shape", [[2] * 65] * 5), ("shape", [5] * 5), ("shape", [[True]] * 5),
    ("shape", [[-1]] * 5), ("shape", [[2**62]] * 5), ("shape", [["x"]] * 5),
    ("shape", [[2, 2]] * 4), ("shape", [[2, 2], "x"]), ("shape", [[2, 2], [1.5]]),
    ("shape", 5), ("shape", []), ("shape", [[2, 2], [3], [2], [3], [0, 2**40]]),
    ("path", ["x"] * 5), ("path", ["", "b", "c", "d", "e"]), ("path", [1] * 5),
    ("path", ["a..b", "b", "c", "d", "e"]), ("path", ["a\\..b", "b", "c", "d", "e"]),
    ("path", ["\0", "b", "c", "d", "e"]), ("path", ["x" * 1025, "b", "c", "d", "e"]),
    ("path", ["x" * 4097, "b", "c", "d", "e"]), ("path", ["b.w", "b", "c", "d", "e"]),
    ("path", "x"), ("path", None), ("path", []), ("path", [[]] * 5),
    ("id", ["a" * 13] * 5), ("id", [None] * 5), ("id", ["x"] * 5), ("id", [5] * 5),
    ("id", [[]] * 5), ("dtype", ["x"] * 5), ("dtype", [[]] * 5), ("dtype", [5] * 5),
    ("kind", ["x"] * 5), ("kind", [None] * 5), ("kind", {}),
    ("kind", ["tensor"] * 5),
    ("requires_grad", [1] * 5), ("requires_grad", [True]), ("offset", [0] * 5),
    ("offset", ["x"] * 5), ("offset", [-1] * 5), ("offset", [2**62] * 5),
    ("offset", []),
    ("planes", [9]), ("planes", [0, 0]), ("planes", [0]), ("planes", [2]),
    ("planes", ["x"]), ("planes", [3]), ("new", [1]),
]  # fmt: skip
"""Columns of the table, good and bad."""

OURS: list[Any] = [
    5, [], {"type": 5}, {"version": -1}, {"version": 2}, {"versions": {"a": 1}},
    {"versions": {"a": "x"}}, {"versions": 5}, {"library": None}, {"precision": 1},
]  # fmt: skip
"""The library's own part of the metadata."""


def _set(**members: Any) -> Callable[[Any], Any]:
    return lambda header: {**header, **members}


def _without(key: str) -> Callable[[Any], Any]:
    return lambda header: {k: v for k, v in header.items() if k != key}


def _with_column(name: str, values: Any) -> Callable[[Any], Any]:
    return lambda header: {**header, "tensors": {**header["tensors"], name: values}}


def _without_column(name: str) -> Callable[[Any], Any]:
    return lambda header: {**header, "tensors": _without(name)(header["tensors"])}


HEADERS: list[Callable[[Any], Any]] = [
    *(_set(tree=tree) for tree in TREES),
    *(_set(metadata=tree) for tree in TREES),
    *(_set(kind="record", tree={"$record": ["X", tree]}) for tree in TREES),
    *(_set(kind="record", tree=tree) for tree in (5, None, {}, {"$record": ["X", {}]})),
    *(_set(metadata={"burnish": ours}) for ours in OURS),
    *(_with_column(name, values) for name, values in COLUMNS),
    *(_without(key) for key in ("kind", "tree", "tensors")),
    *(_without_column(name) for name in ("kind", "ties", "offset")),
    _set(kind="x"), _set(type=5), _set(new=1), _set(tensors=5), _set(tensors=None),
    lambda header: {**header, 1: 2},
    lambda header: 5,
    lambda header: [header],
]  # fmt: skip
"""Changes of a header."""


def odd_files() -> Iterator[bytes]:
    """Return files of every format with headers that are odd or wrong."""
    mpk, text, tensors = FILES["mpk"](), FILES["json"](), FILES["safetensors"]()
    for change in HEADERS:
        yield with_header(mpk, change)
        yield from _as_json(tensors, change)
    yield from _framed_wrongly(mpk)
    yield from (in_frames(part) for part in (b"x" * 200, mpk[:90], mpk[:-9], b""))
    yield from _tables(content_of(FILES["mpk.zst"]()))
    yield from (text[:end] for end in range(0, len(text), 7))
    yield from (text.replace(old, new, 1) for old, new in SPELLINGS)


def _as_json(data: bytes, change: Callable[[Any], Any]) -> Iterator[bytes]:
    """Return a `.safetensors` file with another header under our key."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    try:
        ours = json.dumps(change(json.loads(header["__metadata__"]["burnish"])))
    except TypeError:  # bytes, which JSON has not
        return
    # The escape sends it past the quick parser.
    for spelling in (ours, ours.replace('"kind"', '"k\\u0069nd"')):
        header["__metadata__"]["burnish"] = spelling
        packed = json.dumps(header).encode()
        yield struct.pack("<Q", len(packed)) + packed + data[8 + length :]


def _framed_wrongly(mpk: bytes) -> Iterator[bytes]:
    """Return `.mpk` files whose header is framed in another way than it must be."""
    yield mpk[:12]
    yield mpk[:8] + b"\x09" + mpk[9:]
    for at in range(len(mpk)):
        yield mpk[:at] + bytes([mpk[at] ^ 1]) + mpk[at + 1 :]
    yield with_raw_header(mpk, lambda body: bytes([body[0] - 1]) + body[1:])
    yield with_raw_header(mpk, lambda body: body.replace(b"\xa4type", b"\xa4kind"))
    yield with_raw_header(
        mpk, lambda body: body.replace(b"\xa4kind", b"\xa4\xff\xff\xff\xff")
    )
    yield mpk[:-20]
    yield mpk + b"x"


def _tables(content: bytes) -> Iterator[bytes]:
    """Return `.mpk.zst` files whose table of frames is not as it must be."""
    whole = FILES["mpk.zst"]()
    for at in range(1, 60):
        yield whole[:-at] + bytes([whole[-at] ^ 1]) + whole[len(whole) - at + 1 :]
        yield whole[:-at]
    for sizes in ([0], [2**31], [len(content)]):
        yield in_table([b"x" * 40], sizes)
    yield in_table([], [])


SPELLINGS = [
    (b"{", b"{ "), (b":", b": tru"), (b"true", b"trux"), (b"null", b"nul"),
    (b'"kind"', b'"k\\u0069nd"'), (b'"kind"', b'"kind\\ud800"'),
    (b'"kind"', b'"type"'),
    (b'"kind"', b"kind"), (b'"kind"', b'"kin\x01d"'), (b":3", b":-0"),
    (b":3", b":1e999"),
    (b":3", b":" + b"9" * 30), (b":3", b":" + b"1" * 3000), (b":3", b":0x"),
    (b":3", b":01"), (b":3", b":1.5e3"), (b":3", b":[" * 300), (b":3", b':"\\ud800"'),
    (b":3", b":" + b"[" * 400 + b"]" * 400), (b":3", b":" + b'{"a":' * 400),
]  # fmt: skip
"""Texts in a JSON file, and what stands there instead."""

ODD_FILES: list[bytes] = [
    library_file({"format": "pt", "c": "a", "d": "a", "x": "y"}),
    library_file({"burnish": "[]"}),
    library_file({"burnish": '{"burnish": 2}'}),
    library_file({"burnish": '{"burnish": 1}'}),
    library_file({"burnish": '{"burn\\u0069sh": 1} x'}),
    library_file({"burnish": '{"burnish": true}'}),
    library_file({"burnish": "x"}),
    b"\xef\xbb\xbf" + FILES["json"](),
    FILES["json"]().replace(b":", b" :\n ").replace(b'"Net"', b'"\\u004eet"'),
    *(
        _long(name, value)
        for name in RECORDERS
        for value in (
            "x" * 9000,
            "\u20ac" * 900,
            {"y": {f"k{i}": i * 300 for i in range(20)}},
            [1e300, -0.0, 2**70, -(2**70), {"$a": (1, float("nan"))}],
        )
    ),
    *odd_files(),
]
