"""What docs/format.md says of `.mpk`, as a reader that knows nothing of burnish."""

from pathlib import Path

import msgpack
import numpy as np
import torch
import xxhash

SHIFTS = {"float32": (23, 24, 16), "bfloat16": (7, 8, 0), "float16": (8, 0, 0)}


def joined(raw: bytes, dtype: str) -> bytes:
    width, out, (top, sign, rest) = 4 if dtype == "float32" else 2, b"", SHIFTS[dtype]
    for start in range(0, len(raw), 262_144 * width):
        block = np.frombuffer(raw[start : start + 262_144 * width], np.uint8)
        n = len(block) // width
        first, second = block[:n].astype("<u4"), block[n : 2 * n].astype("<u4")
        bits = first << top | second >> 7 << 7 + sign | (second & 127) << rest
        bits |= block[2 * n :].view("<u2") if width == 4 else 0
        out += bits.astype(f"<u{width}").tobytes()
    return out


def read(file: Path) -> dict[str, torch.Tensor]:
    document = msgpack.unpackb(file.read_bytes())
    assert document["burnish"] in (1, 2, 4)
    assert xxhash.xxh3_64_digest(document["header"]) == document["header_xxh3"]
    header, found = msgpack.unpackb(document["header"]), {}
    table, files = header["tensors"], header.get("files")
    payloads, ties = iter(document["data"][1::2]), dict(table["ties"])
    for i, (path, dtype) in enumerate(zip(table["path"], table["dtype"], strict=True)):
        shape, kind = table["shape"][i], getattr(torch, dtype)
        size = int(np.prod(shape, dtype=object)) * kind.itemsize
        if files is None:
            raw = next(payloads)
            while len(raw) < size:
                raw += next(payloads)
        else:
            beside = (file.parent / files[table["file"][i]][0]).read_bytes()
            raw = beside[table["offset"][i] :][:size]
        assert xxhash.xxh3_64_digest(raw) == document["checksums"][8 * i : 8 * i + 8]
        raw = bytearray(joined(raw, dtype) if i in table["planes"] else raw)
        flat = torch.frombuffer(raw, dtype=kind) if raw else torch.empty(0, dtype=kind)
        found.update(dict.fromkeys([path, *ties.get(i, [])], flat.view(shape)))
    return found
