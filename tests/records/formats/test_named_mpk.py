"""`.mpk` and `.mpk.gz` of Burn's recorders, told from ours by what is in them."""

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch

from burnish import open_record
from burnish.records import Record, RecordError, RecordFormatError
from burnish.records.formats.burn_ids import id_of_number
from burnish.records.recorder import Recorder

from ..burn_files import NOTES, id_text, mpk, mpk_of_burn, param


def test_parameters_are_read_by_their_paths_with_their_ids() -> None:
    record = open_record(mpk_of_burn())

    found = {e.path: (e.dtype, e.shape, e.id) for e in record.entries()}
    assert found == {
        "fc.weight": (torch.float32, (2, 3), id_of_number(9)),
        "norms.0.gamma": (torch.float16, (3,), id_of_number(2**63 + 1)),
        "norms.0.beta": (torch.bfloat16, (1,), None),
        "norms.0.flags": (torch.bool, (2,), None),
    }
    assert record["fc.weight"].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert record["norms.0.gamma"].tolist() == [1.0, 2.0, 3.0]
    assert record["norms.0.beta"].tolist() == [1.0]
    assert record["norms.0.flags"].tolist() == [False, True]
    assert record.metadata == {
        **NOTES,
        "burnish": {"convention": "burn", "scalars": {"norms.0.steps": 3}},
    }


def test_the_state_of_an_optimizer_is_read_as_it_is_nested() -> None:
    moment = {"bytes": struct.pack("<2f", 1, 2), "shape": [2], "dtype": "F32"}
    state = {"V1": {"Rank1": {"momentum": {"moment_1": moment, "time": 70_000}}}}

    record = open_record(mpk({id_text(5): state}))

    path = f"{id_text(5)}.V1.Rank1.momentum"
    assert record[f"{path}.moment_1"].tolist() == [1.0, 2.0]
    assert record.metadata["burnish"]["scalars"] == {f"{path}.time": 70_000}


@pytest.mark.parametrize("name", ["model.mpk", "model.mpk.gz", "model"])
def test_a_file_is_told_from_ours_by_its_content(tmp_path: Path, name: str) -> None:
    data = mpk_of_burn()
    file = tmp_path / name
    file.write_bytes(gzip.compress(data) if name.endswith("gz") else data)

    record = open_record(file)

    assert record.reading.format == "burn"
    assert record["fc.weight"].shape == (2, 3)
    with pytest.raises(RecordFormatError, match="content in the format burn"):
        Recorder("mpk").load(file)


def test_a_name_of_another_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(mpk_of_burn())

    with pytest.raises(RecordFormatError, match=r"format burn.*safetensors"):
        open_record(file)


def test_a_newline_that_a_tool_has_added_is_no_damage() -> None:
    assert len(open_record(mpk_of_burn() + b"\n").entries()) == 4
    with pytest.raises(RecordFormatError, match="bytes after the end"):
        open_record(mpk_of_burn() + b"\n\n")


def test_such_files_are_only_read() -> None:
    record = Record.from_state_dict({"w": torch.ones(2)})

    with pytest.raises(ValueError, match="'burn' is read-only"):
        Recorder("burn").dumps(record)


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    n_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.n_read += len(data)
        return data


def test_large_tensors_are_read_when_they_are_touched() -> None:
    values = torch.arange(1 << 19).float()
    item = {
        name: param(id_text(1), "F32", [1 << 19], values.numpy().tobytes())
        for name in "ab"
    }
    file = Counted(mpk(item))

    record = open_record(file)

    assert file.n_read < 1 << 19
    assert torch.equal(record["b"], values)
    assert file.n_read < values.nbytes + (1 << 19)


def test_all_sizes_of_bytes_and_texts_are_passed_over() -> None:
    item = {
        f"w{n}": param(id_text(n), "U8", [n], bytes([n % 256]) * n)
        for n in (0, 1, 31, 255, 256, 65_535, 65_536)
    }
    item["name" * 60] = param(id_text(9), "I8", [1, 1], b"\xff")

    record = open_record(mpk(item))

    assert all(record[f"w{n}"].tolist() == [n % 256] * n for n in (0, 1, 256, 65_536))
    assert record["name" * 60].tolist() == [[-1]]


PARAM = param(id_text(1), "F32", [1], b"\0" * 4)
TENSOR: dict[str, Any] = PARAM["param"]

HOSTILE: dict[str, tuple[Any, str]] = {
    "a list of numbers, as before 0.14": (
        {"w": {"id": "x", "param": {"value": [1.0, 2.0], "shape": [2]}}},
        "'w.param' has a shape.*Burn before 0.14.*record-backward-compat",
    ),
    "a quantized tensor": (
        {"w": {**TENSOR, "dtype": {"QFloat": {"level": ["Tensor", 3]}}}},
        "'w' is quantized by Burn",
    ),
    "a dtype of no kind": ({"w": {**TENSOR, "dtype": "F4"}}, "the dtype 'F4'"),
    "a dtype that is a number": ({"w": {**TENSOR, "dtype": 3}}, "a number as dtype"),
    "a shape of other length": ({"w": {**TENSOR, "shape": [2]}}, "expected 8"),
    "a shape of texts": ({"w": {**TENSOR, "shape": ["2"]}}, "in a shape"),
    "a shape that is a number": ({"w": {**TENSOR, "shape": 4}}, "as shape"),
    "a negative shape": ({"w": {**TENSOR, "shape": [-1]}}, "the shape"),
    "bytes alone": ({"w": {"inner": b"abc"}}, "bytes at 'w.inner'"),
    "no dtype": ({"w": {"bytes": b"", "shape": [0]}}, "'w' has a shape"),
    "a key that is a number": ({"w": {1: 2}}, "the name of a field"),
    "an extension": ({"w": msgpack.ExtType(1, b"x")}, "a value of the kind"),
    "two of one name": ({"a": {"b": PARAM}, "a.b": PARAM}, "two entries called"),
    "a name of no path": ({"a..b": PARAM}, r"a\.\.b"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_item_is_refused_by_name(case: str) -> None:
    item, problem = HOSTILE[case]

    with pytest.raises(RecordFormatError, match=f"(?s){problem}"):
        open_record(mpk(item))


def test_what_surrounds_the_item_is_checked() -> None:
    for content in (
        {"metadata": NOTES, "other": 3},
        {"metadata": [1], "item": {}},
        {"metadata": {"a": 1}, "item": {}},
        {"metadata": {"burnish": "x"}, "item": {}},
    ):
        with pytest.raises(RecordFormatError):
            open_record(bytes(msgpack.packb(content) or b""))


def nested(depth: int) -> bytes:
    inner = b"\x81\xa1a" * depth + b"\xc0"
    notes = bytes(msgpack.packb({"metadata": NOTES}) or b"")
    return b"\x82" + notes[1:] + b"\xa4item" + inner


def test_depth_and_memory_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 16)
    numbers = mpk({"values": [0.5] * 4000})
    long_paths = mpk({"n" * 4000: {str(i): PARAM for i in range(400)}})

    assert open_record(nested(60)).entries() == []
    with pytest.raises(RecordFormatError, match="nested deeper than 64"):
        open_record(nested(70))
    for data in (numbers, long_paths):
        with pytest.raises(RecordFormatError, match="that would take over"):
            open_record(data)


def test_what_it_says_of_itself_goes_into_a_container_of_burn() -> None:
    record = open_record(mpk_of_burn())

    again = open_record(Recorder("bpk").dumps(record))

    assert again.metadata == record.metadata
    assert [e.id for e in again.entries()] == [e.id for e in record.entries()]
    with pytest.raises(RecordError):
        open_record(mpk_of_burn()[:-1])
