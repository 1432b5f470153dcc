"""`.bpk`: read as Burn writes it, and written as its reader takes it."""

import struct
from pathlib import Path

import pytest
import torch

from burnish import verify_file
from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    open_record,
)
from burnish.records.formats.burn_ids import id_of_number

from ..burn_files import bpk, bpk_of_burn, tensor
from .burnpacks import BPK


def test_a_container_of_burn_is_written_again_byte_for_byte() -> None:
    values = torch.linspace(-1, 1, 3 * 64)
    tables = {
        "tensors": {
            "a.bias": tensor("BF16", [3], 768, 774),
            "a.weight": tensor("F32", [3, 64], 0, 768, 2**64 - 1),
            "b.flag": tensor({"Bool": "Native"}, [2], 1024, 1026, 24),
            "b.steps": tensor("U64", [1], 1280, 1288, 256),
        },
        "metadata": {"producer": "burn", "version": "0.22.0", "é": "ü"},
        "scalars": {
            "on": {"Bool": True},
            "shift": {"Int": -300},
            "step": {"UInt": 2**63},
        },
    }
    data = (values.numpy().tobytes() + b"\x80\x3f" * 3).ljust(1024, b"\0")
    data = (data + b"\0\1").ljust(1280, b"\0") + struct.pack("<Q", 2**63)
    file = bpk(tables, data)

    record = open_record(file)

    assert BPK.dumps(record) == file
    assert torch.equal(record["a.weight"], values.view(3, 64))
    assert record["a.bias"].tolist() == [1.0, 1.0, 1.0]
    assert record["b.flag"].tolist() == [False, True]
    assert record.metadata == {
        "burnish": {
            "convention": "burn",
            "scalars": {"on": True, "shift": -300, "step": 2**63},
        },
        "producer": "burn",
        "version": "0.22.0",
        "é": "ü",
    }


def test_a_container_says_dtypes_ids_and_numbers_of_every_kind() -> None:
    record = open_record(bpk_of_burn())

    entries = {e.path: (e.dtype, e.shape, e.id) for e in record.entries()}
    assert entries == {
        "fc.weight": (torch.float32, (2, 3), id_of_number(2**64 - 2)),
        "norm.gamma": (torch.float16, (3,), id_of_number(7)),
        "flag": (torch.bool, (3,), None),
    }
    assert record["flag"].tolist() == [True, False, True]
    assert record.metadata["burnish"]["scalars"] == {"rate": 0.5, "step": 3}
    assert record.verified == "none"
    with pytest.raises(RecordChecksumError):
        verify_file(bpk_of_burn(), strict=True)


def test_large_tensors_are_mapped_and_written_at_multiples_of_256(
    tmp_path: Path,
) -> None:
    tensors = {"a": torch.ones(3), "b": torch.arange(1 << 20).float()}
    file = tmp_path / "x.bpk"

    Record.from_state_dict(tensors).save(file)
    record = open_record(file)
    record.load_all()

    assert record["b"].data_ptr() % 256 == 0
    assert torch.equal(record["b"], tensors["b"])


@pytest.mark.parametrize(
    ("limit", "value", "problem"),
    [
        ("_MOST_TENSORS", 2, "3 tensors"),
        ("_MOST_TENSOR", 11, "12 bytes in one tensor"),
        ("_MOST_FILE", 600, "bytes, but Burn reads files of at most 600"),
        ("MOST_HEADER", 50, "bytes before the tensors"),
    ],
)
def test_what_burns_reader_would_refuse_is_not_written(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, problem: str
) -> None:
    monkeypatch.setattr(f"burnish.records.formats.burnpack.{limit}", value)
    record = Record.from_state_dict({name: torch.ones(3) for name in "abc"})

    with pytest.raises(RecordError, match=problem):
        BPK.dumps(record)


def test_a_file_cut_to_the_length_of_an_unaligned_one_is_not_read_shifted() -> None:
    file = bpk({"tensors": {"w": tensor("F32", [64], 0, 256)}}, bytes(256))
    n_pad = 256 - (10 + struct.unpack("<I", file[6:10])[0]) % 256

    with pytest.raises(RecordFormatError):
        open_record(file[:-n_pad])
