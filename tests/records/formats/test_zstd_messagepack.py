"""`.mpk.zst`: any zstd tool's file, whose content is any MessagePack reader's."""

import io
import runpy
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch
import zstandard

from burnish.records import Record, RecordChecksumError, RecordFormatError, open_record
from burnish.records.formats.frame_source import FrameSource
from burnish.records.recorder import Recorder
from burnish.records.source import MemorySource

from ..hostile_files import in_table

Same = Callable[[torch.Tensor, torch.Tensor], bool]
Tensors = dict[str, torch.Tensor]

ZST = Recorder("mpk", "zst")
TINY = Path(__file__).parents[1] / "tiny_reader.py"


def saved(tensors: Tensors) -> bytes:
    return ZST.dumps(Record.from_state_dict(tensors))


def content_of(data: bytes) -> bytes:
    context = zstandard.ZstdDecompressor()
    return context.stream_reader(io.BytesIO(data), read_across_frames=True).read()


def test_every_dtype_and_shape_comes_back_bit_for_bit(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "all.mpk.zst"

    Record.from_state_dict(awkward).save(file)

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in awkward.items() if not same(record[p], t)] == []


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd tool")
def test_the_zstd_tool_tests_and_unpacks_it_into_an_mpk(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    packed, plain = tmp_path / "m.mpk.zst", tmp_path / "m.mpk"
    Record.from_state_dict(awkward).save(packed)

    subprocess.run(["zstd", "-q", "-t", packed], check=True)
    subprocess.run(["zstd", "-q", "-d", packed, "-o", plain], check=True)

    record = open_record(plain)
    record.load_all()
    assert [p for p, t in awkward.items() if not same(record[p], t)] == []


@pytest.mark.parametrize("precision", ["full", "half", "bfloat16"])
def test_a_reader_of_40_lines_reads_the_content(
    precision: Any, tmp_path: Path, same: Same
) -> None:
    read = runpy.run_path(str(TINY))["read"]
    tensors = {"a": torch.randn(700, 400), "b": torch.randn(3), "n": torch.arange(9)}
    packed, plain = tmp_path / "m.mpk.zst", tmp_path / "m.mpk"
    Record.from_state_dict(tensors).save(packed, precision=precision)
    plain.write_bytes(content_of(packed.read_bytes()))

    found = read(plain)

    record = open_record(packed)
    assert all(same(found[path], record[path]) for path in tensors)


def test_the_content_is_messagepack_and_marks_planes() -> None:
    document: Any = msgpack.unpackb(
        content_of(saved({"f": torch.randn(9), "i": torch.arange(3)}))
    )

    assert msgpack.unpackb(document["header"])["tensors"]["planes"] == [0]


@pytest.mark.parametrize(
    ("dtype", "most"),
    [(torch.float32, 0.835), (torch.bfloat16, 0.665), (torch.float16, 0.845)],
)
def test_normal_weights_shrink_as_far_as_their_exponents_allow(
    dtype: torch.dtype, most: float
) -> None:
    weights = (torch.randn(1 << 20) * 0.02).to(dtype)

    assert len(saved({"w": weights})) <= most * weights.nbytes


def test_zeros_and_rounded_values_take_what_their_bits_hold() -> None:
    zeros = torch.zeros(1 << 20)
    rounded = torch.randn(1 << 20).to(torch.bfloat16).to(torch.float32)

    assert len(saved({"w": zeros})) < 4_000
    assert len(saved({"w": rounded})) < 0.345 * rounded.nbytes


def test_one_entry_of_many_is_read_by_decoding_only_its_frames() -> None:
    data = saved({str(i): torch.randn(1 << 17) for i in range(50)})
    read = list[int]()

    class Counting(MemorySource):
        def read(self, offset: int, count: int) -> memoryview:
            read.append(count)
            return super().read(offset, count)

    from burnish.records.formats.zstd_messagepack import ZstdMessagePack

    record = ZstdMessagePack().decode(Counting(data))
    _ = record.by_path()["20"].tensor()

    assert sum(read) < len(data) / 20


def test_many_small_entries_cost_little_more_than_their_bytes() -> None:
    tensors = {f"layers.{i}.bias": torch.randn(64) for i in range(500)}
    raw = sum(tensor.nbytes for tensor in tensors.values())

    assert len(saved(tensors)) < 1.25 * raw


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


def test_a_long_tensor_is_decoded_by_threads_in_order(same: Same) -> None:
    values = torch.arange(10 << 20).to(torch.float32)

    assert same(open_record(saved({"w": values}))["w"], values)


def test_equal_records_give_equal_bytes() -> None:
    tensors = {"a": torch.arange(500.0), "b": torch.ones(3)}

    assert saved(tensors) == saved({k: v.clone() for k, v in tensors.items()})


def test_a_level_applies_to_what_is_no_float() -> None:
    record = Record.from_state_dict({"i": torch.arange(1 << 16) // 7})

    assert len(Recorder("mpk", "zst", level=19).dumps(record)) < len(ZST.dumps(record))


def test_damage_names_the_entry() -> None:
    data = bytearray(saved({"first": torch.randn(1 << 16), "second": torch.randn(9)}))
    data[len(data) // 2] ^= 1

    with pytest.raises(RecordChecksumError, match="first"):
        open_record(bytes(data)).load_all()


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


def test_damage_is_told_from_a_wrong_sum_when_sums_are_not_compared() -> None:
    data = bytearray(saved({"first": torch.randn(1 << 16), "second": torch.randn(9)}))
    data[len(data) // 2] ^= 1

    with pytest.raises(RecordFormatError, match="compressed bytes of 'first'"):
        open_record(bytes(data), verify=False).load_all()


def test_entries_too_long_for_one_piece_are_read_from_several(
    monkeypatch: pytest.MonkeyPatch, same: Same
) -> None:
    for name in ("layout.LONGEST_BIN", "layout.PART", "messagepack.PART"):
        monkeypatch.setattr(f"burnish.records.formats.{name}", 1 << 20)
    monkeypatch.setattr("burnish.records.formats.zstd_messagepack.PART", 1 << 20)
    tensors = {
        "f": torch.randn((256 << 10) * 3 + 5),
        "h": torch.randn((512 << 10) * 2 + 1).half(),
        "i": torch.arange(400_000),
        "s": torch.randn(3),
    }

    record = open_record(saved(tensors))
    record.load_all()

    assert all(same(record[path], tensors[path]) for path in tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["random", "rounded", "zeros"])
def test_planes_stay_in_order_whatever_is_coded_gathered_or_framed_as_it_is(
    dtype: torch.dtype, kind: str, same: Same
) -> None:
    sizes = (1, 511, 512, 513, 5000, 32_768, 32_769, 40_000, 65_536, 65_537, 131_073)
    made: dict[str, Callable[[int], torch.Tensor]] = {
        "random": torch.randn,
        # The low bits of each value are zeros, and the others are not.
        "rounded": lambda n: torch.randn(n).to(torch.bfloat16).float(),
        "zeros": torch.zeros,
    }
    tensors = {str(n): made[kind](n).to(dtype) for n in sizes}

    record = open_record(saved(tensors))

    assert [n for n, tensor in tensors.items() if not same(record[n], tensor)] == []


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


def test_a_payload_whose_sum_is_another_is_refused_by_its_name() -> None:
    content = bytearray(content_of(saved({"f": torch.randn(9), "i": torch.arange(3)})))
    sums = content.rindex(b"\xa9checksums\xc6") + 15
    damaged, wrong = bytearray(content), bytearray(content)
    damaged[content.rindex(b"\xa4data\xdd") + 5 + 64] ^= 1
    wrong[sums + 8] ^= 1

    def framed(text: bytearray) -> bytes:
        frame = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(text))
        return in_table([frame], [len(text)])

    assert open_record(framed(content))["f"].shape == (9,)
    with pytest.raises(RecordChecksumError, match="f"):
        _ = open_record(framed(damaged))["f"]
    assert open_record(framed(damaged), verify=False)["f"].shape == (9,)
    with pytest.raises(RecordChecksumError):
        open_record(framed(wrong)).load_all()


def test_a_table_that_does_not_fit_its_file_is_refused_in_words() -> None:
    data = saved({"f": torch.randn(9)})
    n_frames = int.from_bytes(data[-9:-5], "little")
    table = len(data) - 9 - 8 * n_frames - 8

    def changed(at: int, value: bytes) -> str:
        damaged = bytearray(data)
        damaged[at : at + len(value)] = value
        with pytest.raises(RecordFormatError) as caught:
            open_record(bytes(damaged))
        return str(caught.value)

    assert "cut short before the table of frames" in changed(len(data) - 9, b"\0\0\0\0")
    assert "cut short before the table of frames" in changed(len(data) - 9, b"\xff\xff")
    assert "cut short before the table of frames" in changed(len(data) - 5, b"\1")
    assert "cut short before the table of frames" in changed(len(data) - 4, b"\0")
    assert "damaged table of frames" in changed(table, b"\0")
    assert "damaged table of frames" in changed(table + 4, b"\0")
    assert "do not fill the file" in changed(table + 8, b"\x11")
    assert "do not fill the file" in changed(table + 12, b"\x01")
    assert "do not fill the file" in changed(table + 20, bytes(4))
    for n in range(len(data[:16]), len(data)):
        with pytest.raises(RecordFormatError, match=r"cut short|first bytes"):
            open_record(data[:n])


def test_frames_hold_at_most_a_mebibyte() -> None:
    def of_frames(*sizes: int) -> bytes:
        context = zstandard.ZstdCompressor(write_checksum=True)
        return in_table([context.compress(bytes(n)) for n in sizes], [*sizes])

    assert FrameSource(MemorySource(of_frames(1 << 20, 5))).size == (1 << 20) + 5
    assert FrameSource(MemorySource(in_table([], []))).size == 0
    for sizes in ((1 << 20) + 1, 5), (0, 5):
        with pytest.raises(RecordFormatError, match="do not fill the file"):
            FrameSource(MemorySource(of_frames(*sizes)))


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


def test_any_kind_of_payload_comes_back_at_any_level(same: Same) -> None:
    tensors = {
        "e4m3": torch.randn(3000).to(torch.float8_e4m3fn),
        "i": torch.arange(3000),
        "b": torch.arange(3000) % 3 == 0,
        "f64": torch.randn(3000, dtype=torch.float64),
        "c": torch.randn(3000, dtype=torch.complex64),
    }

    for level in (-5, 0, 3, 19):
        data = Recorder("mpk", "zst", level=level).dumps(
            Record.from_state_dict(tensors)
        )
        record = open_record(data)
        assert all(same(record[path], tensors[path]) for path in tensors)
