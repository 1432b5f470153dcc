"""Files of a few megabytes that would fill the memory of a careless reader."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from burnish.records.formats.zstd_frames import raw_frame

from .hostile_files import FILES, in_table, said, with_header


def lists_in_mpk() -> bytes:
    def change(header: Any) -> Any:
        return {**header, "metadata": {"x": [[] for _ in range(2_000_000)]}}

    return with_header(FILES["mpk"](), change)


def zeros_in_frames() -> bytes:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(1 << 20))
    return in_table([frame] * 4000, [1 << 20] * 4000)


def header_in_frames() -> bytes:
    """Return a file of a few kilobytes whose header has 90 MB of empty lists."""
    head = FILES["mpk"]()[:18] + struct.pack(">I", 90_000_000)
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
