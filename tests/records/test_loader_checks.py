"""The checks that a loader needs, one by one."""

import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch
import zstandard

from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.flat_record import FlatRecord
from burnish.records.recorder import Recorder

from .hostile_files import (
    FILES,
    content_of,
    entry,
    in_table,
    said,
    small,
    with_header,
    with_raw_header,
)


def refused(data: bytes, error: type[RecordError] = RecordFormatError) -> str:
    with pytest.raises(error) as caught:
        open_record(data).load_all()
    return str(caught.value)


def table_with(**columns: Any) -> bytes:
    """Return an `.mpk` file of `small` with other columns, its checksum right."""

    def change(header: Any) -> Any:
        header["tensors"].update(columns)
        return header

    return with_header(FILES["mpk"](), change)


def replaced(key: str, value: Any) -> Callable[[Any], Any]:
    return lambda header: {**header, key: value}


def column(name: str) -> list[Any]:
    header: Any = msgpack.unpackb(msgpack.unpackb(FILES["mpk"]())["header"])
    values: list[Any] = header["tensors"][name]
    return values


def test_magic_and_version_come_first() -> None:
    newer = bytearray(FILES["mpk"]())
    newer[9] = 77

    assert "version 77" in refused(bytes(newer), RecordVersionError)
    assert "those of a known format" in refused(b"\xfe\x01\xfe\x02")


def test_a_header_longer_than_the_file_is_not_allocated() -> None:
    data = bytearray(FILES["mpk"]())
    data[18:22] = b"\xff\xff\xff\xff"

    assert "4,294,967,295" in refused(bytes(data))


def test_the_header_has_a_checksum() -> None:
    data = FILES["mpk"]().replace(b"a.w", b"a.x", 1)

    assert "the header" in refused(data, RecordChecksumError)


def test_text_is_strict_utf8() -> None:
    data = with_header(FILES["mpk"](), lambda h: {**h, "type": "Net"})

    bad = with_raw_header(
        data, lambda packed: packed.replace(b"\xa3Net", b"\xa3\xff\xfe\xfd")
    )
    assert "utf-8" in refused(bad)
    assert refused(FILES["json"]().replace(b'"Net"', b'"\xff"'))


def test_json_keys_are_unique_numbers_finite_and_depth_bounded() -> None:
    data = FILES["json"]()

    assert "twice" in refused(data.replace(b'"epoch":3', b'"epoch":3,"epoch":4'))
    for bad in (b"NaN", b"Infinity", b"1e999", b"1" * 30, b"[" * 300 + b"]" * 300):
        assert refused(data.replace(b'"epoch":3', b'"epoch":' + bad))


def test_messagepack_is_plain_data_with_text_keys() -> None:
    data = FILES["mpk"]()
    ext, number_key = b"\xd4\x01\x00", b"\x81\x01\x02"

    def with_epoch(value: bytes) -> bytes:
        return with_raw_header(
            data, lambda p: p.replace(b"\xa5epoch\x03", b"\xa5epoch" + value)
        )

    assert "extension" in refused(with_epoch(ext))
    assert "damaged header" in refused(with_epoch(number_key))
    assert "twice" in refused(with_epoch(b"\x82\xa1x\x01\xa1x\x02"))
    assert "damaged header" in refused(with_epoch(b"\x91" * 2000 + b"\x01"))


def test_keys_are_exactly_those_of_the_version() -> None:
    more = with_header(FILES["mpk"](), lambda h: {**h, "more": 1})

    assert "wrong keys" in refused(more)
    assert "wrong columns" in refused(table_with(more=[]))


def test_dtypes_are_those_of_the_list() -> None:
    for dtype in ("object", "complex256", "qint8", "__class__", None, 3):
        dtypes = [dtype, *column("dtype")[1:]]
        assert "unknown dtype" in refused(table_with(dtype=dtypes))


def test_shapes_are_sizes_whose_product_is_the_payload() -> None:
    for shape in ([-1], [2.0], "22", [2**62], [True], [1] * 65, [4, 2]):
        assert refused(table_with(shape=[shape, *column("shape")[1:]]))
    assert "bytes in a file of" in refused(
        table_with(shape=[[2**40, 2**40], *column("shape")[1:]])
    )


def test_payloads_lie_where_they_must_with_no_hole_or_overlap() -> None:
    offsets = column("offset")

    for other in (
        offsets[::-1],
        [offsets[0]] * 5,
        [o + 64 for o in offsets],
    ):
        assert "unexpected offsets" in refused(table_with(offset=other))
    assert "has the offset -64" in refused(table_with(offset=[-64] * 5))
    data = bytearray(FILES["mpk"]())
    pad = data.rindex(b"\xa4data\xdd") + 12
    data[pad] = 1
    assert "damage before payload 0" in refused(bytes(data))


def test_nothing_stands_after_the_end() -> None:
    for name in ("mpk", "mpk.zst", "mpk.gz", "json", "safetensors"):
        assert refused(FILES[name]() + b"x")


def test_names_are_short_and_plain() -> None:
    for name in ("", "a\0b", "a..b", "x" * 4097):
        assert refused(table_with(path=[name, *column("path")[1:]]))


def test_declared_bytes_are_bounded_by_the_file() -> None:
    shapes = [[1 << 30], *column("shape")[1:]]

    assert "bytes in a file of" in refused(table_with(shape=shapes))


def test_frames_tile_the_file_match_the_table_and_decode_to_their_size() -> None:
    data = FILES["mpk.zst"]()
    content, level = content_of(data), zstandard.ZstdCompressor(write_checksum=True)
    whole, bare = level.compress(content), zstandard.compress(content)
    half = len(content) // 2
    two = level.compress(content[:half]) + level.compress(content[half:])
    stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    sizeless = stream.compress(content) + stream.flush()
    right = in_table([whole], [len(content)])

    assert said(right) == said(data)
    assert "does not match its table" in refused(in_table([whole], [len(content) + 1]))
    assert "does not match its table" in refused(in_table([bare], [len(content)]))
    assert "does not match its table" in refused(in_table([sizeless], [len(content)]))
    assert refused(in_table([two], [half]), RecordChecksumError)
    assert refused(in_table([two], [len(content)]))
    assert "do not fill the file" in refused(in_table([whole, b""], [len(content), 0]))
    assert "do not fill the file" in refused(in_table([whole], [1 << 31]))
    assert refused(right[:16] + right[20:])
    assert "cut short" in refused(right[:-9])
    damaged = bytearray(right)
    damaged[16 + len(whole) // 2] ^= 1
    assert refused(bytes(damaged), RecordChecksumError)


def test_a_payload_is_compared_with_its_sum_before_it_is_seen() -> None:
    for name in ("mpk", "safetensors"):
        data = FILES[name]()
        at = data.index(torch.ones(3, dtype=torch.float16).numpy().tobytes())
        damaged = bytearray(data)
        damaged[at] ^= 1
        record = open_record(bytes(damaged))
        with pytest.raises(RecordChecksumError, match=r"a\.h"):
            _ = record["a.h"]


def test_booleans_are_0_or_1_and_nan_keeps_its_bits() -> None:
    flags = Record.from_state_dict({"f": torch.tensor([2, 0], dtype=torch.uint8)})

    def as_booleans(header: Any) -> Any:
        header["tensors"]["dtype"] = ["bool"]
        return header

    mpk = with_header(Recorder().dumps(flags), as_booleans)
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(mpk)
    text = b'{"f":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}'
    safe = struct.pack("<Q", len(text)) + text + b"\2\0"
    odd = torch.tensor([0x7FC00001, -4194303]).to(torch.int32).view(torch.float32)

    for data in (mpk, in_table([frame], [len(mpk)]), safe):
        assert "not a boolean" in refused(data)
    for recorder in (Recorder(), Recorder("mpk", "zst"), Recorder("safetensors")):
        found = open_record(recorder.dumps(Record.from_state_dict({"o": odd})))["o"]
        assert torch.equal(found.view(torch.int32), odd.view(torch.int32))


def test_ties_and_references_name_what_exists() -> None:
    for ties in (
        [[9, ["x"]]],
        [[0, ["a.h"]]],
        [[0, ["x", "x"]]],
        [[0, []]],
        [[-1, ["x"]]],
    ):
        assert refused(table_with(ties=ties))
    for node in (
        {"$tensor": 5},
        {"$tensor": -1},
        {"$tensor": "0"},
        {"$tensor": 0, "x": 1},
    ):
        assert refused(with_header(FILES["mpk"](), replaced("tree", {"a": node})))


def test_two_parameters_never_share_an_id() -> None:
    ids = column("id")

    assert "two entries with the ID" in refused(
        table_with(id=[ids[0], ids[0], *ids[2:]])
    )
    assert "has the ID" in refused(table_with(id=["not base32 !!", *ids[1:]]))


def test_no_name_in_a_file_is_imported() -> None:
    for name in ("antigravity.Net", "os.system", "this"):
        open_record(with_header(FILES["mpk"](), replaced("type", name))).load_all()

    assert not {"antigravity", "this"} & sys.modules.keys()


def test_a_file_that_changes_while_it_is_open_is_noticed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.mpk"
    file.write_bytes(FILES["mpk"]())
    record = open_record(file, mmap=False)

    with file.open("r+b") as changed:
        changed.seek(FILES["mpk"]().index(struct.pack("<f", 1.5)))
        changed.write(b"\xff")

    with pytest.raises(RecordChecksumError, match=r"a\.w"):
        _ = record["a.w"]


def test_a_file_that_is_cut_while_it_is_open_is_noticed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.mpk"
    file.write_bytes(FILES["mpk"]())
    record = open_record(file, mmap=False)

    with file.open("r+b") as changed:
        changed.truncate(600)

    with pytest.raises(RecordFormatError, match="cut"):
        record.load_all()


def test_a_pickle_that_is_refused_is_not_read_another_way() -> None:
    memory = io.BytesIO()
    torch.save({"w": torch.ones(1), "f": io.BytesIO}, memory)

    assert "code and not data" in refused(memory.getvalue())


def test_what_the_reader_refuses_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in ("", "a\0b", "a..b", "x" * 5000):
        record = FlatRecord.of([entry(path, "buffer", torch.ones(1))])
        for recorder in (Recorder(), Recorder("mpk", "zst"), Recorder("json")):
            with pytest.raises(RecordError, match="another name with rename="):
                recorder.dumps(record)
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 20)
    lists: Any = [[] for _ in range(16_000)]
    for recorder in (Recorder(), Recorder("json")):
        with pytest.raises(RecordError):
            recorder.dumps(small(), metadata={"x": lists})
