"""How small and how fast is .mpk.zst against zstd level 1 on the bytes themselves?

Normally distributed weights, 64 MiB each; the peer compresses all bytes at once and
writes them to a file. A speed of 1.3x is a ratio of the times of 1 / 1.3.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import zstandard
from harness import MIB, Row, no_fsync, race, scratch
from torch import Tensor

import burnish

SIZES = {torch.float32: 0.835, torch.bfloat16: 0.665, torch.float16: 0.845}
SPEEDS = {torch.float32: 1.3}


def run() -> list[Row]:
    torch.set_num_threads(1)
    rows: list[Row] = []
    for dtype, size in SIZES.items():
        with scratch() as folder, no_fsync():
            rows += rows_of(folder, dtype, size, SPEEDS.get(dtype))
    return rows


def rows_of(
    folder: str, dtype: torch.dtype, size: float, speed: float | None
) -> list[Row]:
    tensors = weights(dtype)
    record = burnish.Record.from_state_dict(tensors)
    mine, theirs = Path(folder, "net.mpk.zst"), Path(folder, "net.zst")
    raw = b"".join(t.view(torch.uint8).numpy().tobytes() for t in tensors.values())

    def peer() -> None:
        theirs.write_bytes(zstandard.ZstdCompressor(level=1).compress(raw))

    encode = race({"ours": lambda: record.save(mine), "peer": peer})
    decode = race({"ours": lambda: read_all(mine), "peer": decoder(theirs)})
    case = f"normal {str(dtype).removeprefix('torch.')}"
    slowest = None if speed is None else 1 / speed
    raw_size, packed = len(raw) / MIB, mine.stat().st_size / MIB
    return [
        Row.sized("size of raw", case, packed, raw_size, "MiB", at_most=size),
        Row.sized("size of zstd 1", case, packed, theirs.stat().st_size / MIB, "MiB"),
        Row.timed("encode", case, encode["ours"], encode["peer"], at_most=slowest),
        Row.timed("decode", case, decode["ours"], decode["peer"]),
    ]


def weights(dtype: torch.dtype, count: int = 16) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    rows = (64 * MIB) // count // dtype.itemsize // 1024
    return {
        f"layers.{i}.weight": (torch.randn(rows, 1024, generator=draw) * 0.02).to(dtype)
        for i in range(count)
    }


def read_all(file: Path) -> list[Tensor]:
    with burnish.open_record(file) as record:
        return [entry.tensor() for entry in record.entries()]


def decoder(file: Path) -> Callable[[], bytes]:
    return lambda: zstandard.ZstdDecompressor().decompress(file.read_bytes())
