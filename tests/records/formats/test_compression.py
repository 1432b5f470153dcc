"""Files compressed as a whole: one frame, bounded, made by us or by other tools."""

import gzip
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import zstandard

from burnish.records import Record, RecordError, RecordFormatError, open_record
from burnish.records.recorder import Recorder

RECORD = Record.from_state_dict({"w": torch.arange(300.0), "n": torch.arange(5)})
PAIRS = [("json", "gz"), ("json", "zst"), ("mpk", "gz")]


@pytest.mark.parametrize(("form", "codec"), PAIRS)
def test_a_compressed_file_is_the_same_record(
    form: str, codec: str, tmp_path: Path
) -> None:
    file = tmp_path / f"m.{form}.{codec}"

    RECORD.save(file)

    record = open_record(file)
    record.load_all()
    assert torch.equal(record["w"], torch.arange(300.0))
    assert record.verified == "all"


@pytest.mark.parametrize(("form", "codec"), PAIRS)
def test_equal_records_give_equal_bytes(form: str, codec: str) -> None:
    recorder = Recorder(form, codec)

    assert recorder.dumps(RECORD) == recorder.dumps(RECORD)


def test_the_content_is_what_common_tools_unpack() -> None:
    plain = Recorder("json").dumps(RECORD)

    assert gzip.decompress(Recorder("json", "gz").dumps(RECORD)) == plain
    packed = io.BytesIO(Recorder("json", "zst").dumps(RECORD))
    assert zstandard.ZstdDecompressor().stream_reader(packed).read() == plain
    assert json.loads(plain)["burnish"] == 1


def test_files_of_the_gzip_command_are_read_with_their_name_and_time(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.mpk"
    RECORD.save(file)

    subprocess.run(["gzip", "-9", file], check=True)

    assert torch.equal(open_record(tmp_path / "m.mpk.gz")["n"], torch.arange(5))


@pytest.mark.parametrize(("form", "codec"), PAIRS)
def test_bytes_after_the_frame_are_refused(form: str, codec: str) -> None:
    data = Recorder(form, codec).dumps(RECORD)

    with pytest.raises(RecordFormatError, match="bytes after"):
        open_record(data + b"\0")
    with pytest.raises(RecordFormatError):
        open_record(data + data)


@pytest.mark.parametrize(("form", "codec"), PAIRS)
def test_a_file_that_ends_too_early_is_refused(form: str, codec: str) -> None:
    data = Recorder(form, codec).dumps(RECORD)

    with pytest.raises(RecordFormatError, match="ends before its content"):
        open_record(data[:-1])


@pytest.mark.parametrize("piece", [b"\0", b"[[],[]]"])
def test_a_bomb_is_refused_before_it_fills_the_memory(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.records.io.compression.MOST_RATIO", 10)
    monkeypatch.setattr("burnish.records.io.compression._FREE", 1 << 16)
    content = piece * 200_000

    for bomb in (gzip.compress(content), zstandard.compress(content)):
        with pytest.raises(RecordFormatError, match="at most 10 times the file"):
            open_record(bomb)


def test_what_its_reader_takes_for_a_bomb_is_not_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("burnish.records.io.compression.MOST_RATIO", 10)
    monkeypatch.setattr("burnish.records.io.compression._FREE", 1 << 10)
    file = tmp_path / "m.json.gz"

    with pytest.raises(RecordError, match="decompression bomb"):
        Record.from_state_dict({"w": torch.zeros(1 << 18)}).save(file)
    assert not file.exists()


def test_what_inflates_beyond_one_step_at_the_end_is_read_whole() -> None:
    values = torch.zeros(3 << 20)

    data = Recorder("mpk", "gz").dumps(Record.from_state_dict({"w": values}))

    assert torch.equal(open_record(data)["w"], values)


def test_an_mpk_that_the_zstd_tool_compressed_is_read_by_its_name(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.mpk.zst"
    file.write_bytes(zstandard.compress(Recorder().dumps(RECORD)))

    assert torch.equal(open_record(file)["n"], torch.arange(5))


STATE = {"w": torch.arange(5000.0), "b": torch.ones(3)}


@pytest.mark.parametrize(
    ("form", "codec", "pack"),
    [
        ("mpk", "gz", gzip.compress),
        ("json", "gz", gzip.compress),
        ("json", "zst", zstandard.ZstdCompressor(write_checksum=True).compress),
    ],
)
def test_a_file_of_several_members_is_read_as_its_tools_read_it(
    form: str, codec: str, pack: Callable[[bytes], bytes]
) -> None:
    plain = Recorder(form).dumps(Record.from_state_dict(STATE))
    members = b"".join(pack(plain[i : i + 3000]) for i in range(0, len(plain), 3000))

    state = open_record(members + pack(b"")).to_state_dict()

    assert all(torch.equal(state[name], STATE[name]) for name in STATE)
    with pytest.raises(RecordFormatError):
        open_record(members[:-9]).load_all()
    with pytest.raises(RecordFormatError, match="bytes after"):
        open_record(members + b"more").load_all()


def test_many_empty_members_take_time_in_proportion_to_the_file() -> None:
    data = gzip.compress(b"") * 50_000

    with pytest.raises(RecordFormatError):
        open_record(data)
