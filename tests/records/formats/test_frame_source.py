"""Random access to a file of frames."""

import threading
from pathlib import Path

import pytest
import torch
import zstandard

from burnish.records import RecordFormatError, open_record
from burnish.records.entries.entries import path_index
from burnish.records.formats.frame_source import FrameSource
from burnish.records.io.source import MemorySource

from ..hostile_files import in_table
from .zstd_files import Same, content_of, saved


def test_one_entry_of_many_is_read_by_decoding_only_its_frames() -> None:
    data = saved({str(i): torch.randn(1 << 17) for i in range(50)})
    read = list[int]()

    class Counting(MemorySource):
        def read(self, offset: int, count: int) -> memoryview:
            read.append(count)
            return super().read(offset, count)

    from burnish.records.formats.zstd_messagepack import ZstdMessagePack

    record = ZstdMessagePack().decode(Counting(data))
    _ = path_index(record)["20"].tensor()

    assert sum(read) < len(data) / 20


def test_threads_read_one_open_record_at_once(same: Same) -> None:
    tensors = {str(i): torch.randn(30_000) for i in range(16)}
    record = open_record(saved(tensors))
    wrong = list[str]()

    def check(path: str) -> None:
        if not same(record[path], tensors[path]):
            wrong.append(path)

    threads = [threading.Thread(target=check, args=(path,)) for path in tensors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_frames_that_another_tool_made_are_read_too(same: Same) -> None:
    tensors = {"a": torch.randn(50), "b": torch.arange(4)}
    content = content_of(saved(tensors))
    mark = saved(tensors)[:16]
    context = zstandard.ZstdCompressor(write_checksum=True)
    frames = [
        context.compress(content[i : i + 100]) for i in range(0, len(content), 100)
    ]
    sizes = [(16, 0)] + [
        (len(f), len(content[i * 100 : i * 100 + 100])) for i, f in enumerate(frames)
    ]
    table = b"".join(
        a.to_bytes(4, "little") + b.to_bytes(4, "little") for a, b in sizes
    )
    foot = len(sizes).to_bytes(4, "little") + b"\0" + b"\xb1\xea\x92\x8f"
    head = b"\x5e\x2a\x4d\x18" + (len(table) + 9).to_bytes(4, "little")

    record = open_record(b"".join((mark, *frames, head, table, foot)))

    assert all(same(record[path], tensors[path]) for path in tensors)


def test_reading_across_frames_gives_the_content_at_any_place() -> None:
    data = saved({"a": torch.randn(3000), "b": torch.arange(4000)})
    content, source = content_of(data), FrameSource(MemorySource(data))

    for start in range(0, len(content), 997):
        count = min(3001, len(content) - start)
        assert source.read(start, count) == content[start : start + count]
    with pytest.raises(RecordFormatError, match="at least"):
        source.read(len(content), 1)


def test_one_of_many_small_entries_is_read_by_decoding_its_neighbours_alone() -> None:
    data = saved({str(i): torch.randn(400) for i in range(4000)})
    read = list[int]()

    class Counting(MemorySource):
        def read(self, offset: int, count: int) -> memoryview:
            read.append(count)
            return super().read(offset, count)

    source = FrameSource(Counting(data))
    read.clear()
    source.read(source.size // 2, 400)

    assert sum(read) < len(data) / 15


def test_a_frame_that_was_decoded_in_part_is_not_read_again() -> None:
    class Counting(MemorySource):
        n_reads = 0

        def read(self, offset: int, count: int) -> memoryview:
            self.n_reads += 1
            return super().read(offset, count)

    context = zstandard.ZstdCompressor(write_checksum=True)
    contents = [bytes([i]) * 1000 for i in range(6)]
    inner = Counting(in_table([context.compress(c) for c in contents], [1000] * 6))
    source = FrameSource(inner)

    for i in range(4):
        assert source.read(1000 * i + 10, 20) == bytes([i]) * 20
    n_reads = inner.n_reads
    for i in range(4):
        assert source.read(1000 * i, 1000) == contents[i]
        assert source.read(1000 * i + 980, 20) == bytes([i]) * 20
    assert inner.n_reads == n_reads
    assert source.read(3990, 20) == contents[3][:10] + contents[4][:10]
    assert source.read(0, 6000) == b"".join(contents)


def test_closing_the_record_closes_the_file(tmp_path: Path) -> None:
    file = tmp_path / "m.mpk.zst"
    file.write_bytes(saved({"f": torch.randn(9)}))

    with open_record(file) as record:
        pass

    with pytest.raises(ValueError, match="is closed"):
        _ = record["f"]
