"""`.mpk`: a MessagePack document, aligned and checked, that strangers can read."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch

from burnish.records import (
    Record,
    RecordError,
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.recorder import Recorder

Same = Callable[[torch.Tensor, torch.Tensor], bool]
Tensors = dict[str, torch.Tensor]

TINY = Path(__file__).parents[1] / "tiny_reader.py"


def test_every_dtype_and_shape_comes_back_bit_for_bit(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "all.mpk"

    Record.from_state_dict(awkward).save(file)

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in awkward.items() if not same(record[p], t)] == []


def test_the_file_is_one_valid_messagepack_document(awkward: Tensors) -> None:
    document: Any = msgpack.unpackb(Recorder().dumps(Record.from_state_dict(awkward)))

    assert list(document) == [
        "burnish",
        "header",
        "header_xxh3",
        "data",
        "checksums",
        "checksums_xxh3",
    ]
    assert document["burnish"] == 1
    assert not any(any(pad) for pad in document["data"][::2])


def test_payloads_lie_at_multiples_of_64_bytes() -> None:
    tensors = {str(n): torch.full((n,), n, dtype=torch.uint8) for n in range(1, 130)}

    data = Recorder().dumps(Record.from_state_dict(tensors))

    header: Any = msgpack.unpackb(msgpack.unpackb(data)["header"])
    start = data.index(b"\xa4data\xdd") + 5
    assert start % 64 == 0
    for path, offset in zip(
        *(header["tensors"][k] for k in ("path", "offset")), strict=True
    ):
        assert offset % 64 == 0
        assert data[start + offset : start + offset + int(path)] == bytes(
            [int(path)]
        ) * int(path)


def test_equal_records_give_equal_bytes() -> None:
    tensors = {"a": torch.arange(5.0), "b": torch.ones(3)}

    assert Recorder().dumps(Record.from_state_dict(tensors)) == Recorder().dumps(
        Record.from_state_dict({k: v.clone() for k, v in tensors.items()})
    )


def test_a_newer_version_is_refused_by_its_number() -> None:
    data = bytearray(Recorder().dumps(Record.from_state_dict({"a": torch.ones(2)})))
    data[9] = 2

    with pytest.raises(RecordVersionError, match="version 2"):
        open_record(bytes(data))


def test_bytes_after_the_end_are_refused() -> None:
    data = Recorder().dumps(Record.from_state_dict({"a": torch.ones(2)}))

    with pytest.raises(RecordFormatError, match="cut short or something was added"):
        open_record(data + b"\0")


def test_a_header_beyond_the_limit_is_refused_when_it_is_written() -> None:
    with pytest.raises(RecordError, match="header would take"):
        Recorder().dumps(
            Record.from_state_dict({"a": torch.ones(1)}),
            metadata={"x": "x" * 100_000_001},
        )


@pytest.mark.parametrize("precision", ["full", "half", "bfloat16"])
def test_a_reader_of_40_lines_reads_the_file(
    precision: Any, tmp_path: Path, same: Same
) -> None:
    read = runpy.run_path(str(TINY))["read"]
    tied = torch.randn(40, 70)
    tensors = {
        "a.weight": tied,
        "b.weight": tied,
        "s": torch.tensor(3),
        "e": torch.ones(0, 2),
    }
    file = tmp_path / "m.mpk"
    Record.from_state_dict(tensors).save(file, precision=precision)

    found = read(file)

    record = open_record(file)
    assert found.keys() == tensors.keys()
    assert all(same(found[path], record[path]) for path in tensors)


def test_that_reader_has_at_most_40_lines_and_no_burnish() -> None:
    lines = [line for line in TINY.read_text().splitlines() if line.strip()]

    assert len(lines) <= 40
    assert not any("import burnish" in line or "from burnish" in line for line in lines)
