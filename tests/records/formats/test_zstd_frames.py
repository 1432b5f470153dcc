"""Frames and their table; damage is told."""

import pytest
import torch
import zstandard

from burnish.records import RecordChecksumError, RecordFormatError, open_record
from burnish.records.formats.frame_source import FrameSource
from burnish.records.io.source import MemorySource

from ..hostile_files import in_table
from .zstd_files import content_of, saved


def test_damage_is_told_from_a_wrong_sum_when_sums_are_not_compared() -> None:
    data = bytearray(saved({"first": torch.randn(1 << 16), "second": torch.randn(9)}))
    data[len(data) // 2] ^= 1

    with pytest.raises(RecordFormatError, match="compressed bytes of 'first'"):
        open_record(bytes(data), verify=False).load_all()


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
