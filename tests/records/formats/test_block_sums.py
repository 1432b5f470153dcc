"""Files in which blocks of payloads have sums: what they are, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
import xxhash

import burnish
from burnish.records import Record, Recorder, RecordError, RecordFormatError
from burnish.records.formats import layout, messagepack
from burnish.records.formats.block_sums import BlockSums, block_counts
from burnish.records.io import blocked_payload

from ..tiny_reader import read

MIB = 1 << 20
WITH_SUMS = Recorder(block_sums=MIB)


@pytest.fixture
def record() -> Any:
    torch.manual_seed(0)
    tensors = {
        "small": torch.rand(7),
        "long": torch.rand(700, 1000),
        "empty": torch.rand(0, 3),
        "exact": torch.rand(MIB // 4),
        "flags": torch.rand(3 * MIB) > 0.5,
        "one": torch.tensor(3.0),
    }
    return Record.from_state_dict(tensors)


def test_a_file_with_sums_of_blocks_is_one_with_more_sums(record: Any) -> None:
    plain, blocked = WITH_SUMS.dumps(record), Recorder().dumps(record)

    assert plain[:10] == b"\x86\xa7burnish\x04"
    assert blocked[:10] == b"\x86\xa7burnish\x01"
    long = record["long"].numpy().tobytes()
    sums = [xxhash.xxh3_64_digest(part) for part in (long[:MIB], long[MIB : 2 * MIB])]
    assert b"".join(sums) in plain[-200:]


def test_it_is_read_and_verified_as_any_other(record: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.mpk"
    record.save(file, recorder=WITH_SUMS)

    assert burnish.verify_file(file).verified == "all"
    for path, tensor in burnish.open_record(file).items():
        assert torch.equal(tensor, record[path])
    assert all(torch.equal(read(file)[path], t) for path, t in record.items())


def test_every_damaged_byte_is_found(record: Any) -> None:
    data = WITH_SUMS.dumps(record)
    for at in [*range(0, 900, 31), *range(900, len(data), 99_991), -3, -60, -100]:
        damaged = bytearray(data)
        damaged[at] ^= 4
        with pytest.raises(RecordError):
            burnish.verify_file(bytes(damaged))


@pytest.mark.parametrize("size", [0, MIB - 1, 8 * MIB, True, "1"])
def test_another_size_of_blocks_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="block_sums must be 1048576, 2097152"):
        Recorder(block_sums=size)


@pytest.mark.parametrize(
    ("form", "compression"), [("mpk", "zst"), ("mpk", "gz"), ("json", None)]
)
def test_only_mpk_has_sums_of_blocks(form: str, compression: str | None) -> None:
    with pytest.raises(ValueError, match="block_sums= is for 'mpk'"):
        Recorder(form, compression, block_sums=MIB)


def test_a_file_that_lacks_the_size_or_has_it_in_version_1_is_refused(
    record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = WITH_SUMS.dumps(record)
    with pytest.raises(RecordFormatError, match="wrong keys"):
        burnish.open_record(data[:9] + b"\x01" + data[10:])
    data = Recorder().dumps(record)
    with pytest.raises(RecordFormatError, match="blocks of None bytes"):
        burnish.open_record(data[:9] + b"\x04" + data[10:])


def test_blocks_of_long_payloads_do_not_cross_its_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (layout, messagepack):
        monkeypatch.setattr(module, "PART", 2 * MIB)
    monkeypatch.setattr(layout, "LONGEST_BIN", 4 * MIB)
    monkeypatch.setattr(blocked_payload, "_PIECE", 2 * MIB)
    values = torch.arange(5 * MIB // 4 + 17, dtype=torch.int32).view(-1, 1)
    record = Record.from_state_dict({"a": values, "b": torch.ones(3)})

    stored = burnish.open_record(WITH_SUMS.dumps(record))

    entry = stored.entry_at("a")
    assert entry is not None
    assert torch.equal(entry.rows(700_000, 1_200_000), values[700_000:1_200_000])
    assert torch.equal(stored["a"], values)


def test_sums_are_those_of_bytes_however_they_are_cut() -> None:
    class Nowhere:
        def write(self, buffer: Any) -> None: ...
        def writev(self, buffers: Any) -> None: ...

    place = layout.DocumentLayout.of([MIB + 5, 3, 2 * MIB])
    content = bytes(range(251)) * (4 * MIB // 251)
    sums: list[bytes] = []
    for step in (1000, 65_537, 3 * MIB):
        sink = BlockSums(Nowhere(), place, MIB)
        for at in range(5, place.end, step):
            sink.writev([content[at : min(at + step, place.end)]])
        sums.append(sink.sums)

    starts = [64, 64 + MIB, place.starts[2], place.starts[2] + MIB]
    ends = [64 + MIB, 64 + MIB + 5, starts[3], place.end]
    expected = [content[a:b] for a, b in zip(starts, ends, strict=True)]
    assert sums == [b"".join(map(xxhash.xxh3_64_digest, expected))] * 3
    assert block_counts([MIB, MIB + 1, 0], MIB) == [0, 2, 0]
