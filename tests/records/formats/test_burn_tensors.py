"""Tensors of Burn's dtypes, and what it has no dtype for."""

import struct
from typing import Any

import pytest
import torch

from burnish.records import (
    Record,
    RecordError,
    RecordFormatError,
    open_record,
)
from burnish.records.entries.entries import with_parts
from burnish.records.entries.entry import Entry
from burnish.records.flat_record import FlatRecord

from ..burn_files import bpk, tensor
from .burnpacks import BPK


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("F64", torch.float64),
        ("Flex32", torch.float32),
        ("I64", torch.int64),
        ("I32", torch.int32),
        ("I16", torch.int16),
        ("I8", torch.int8),
        ("U32", torch.uint32),
        ("U16", torch.uint16),
        ("U8", torch.uint8),
        ("Bool", torch.bool),
        ({"Bool": "U8"}, torch.bool),
    ],
)
def test_every_dtype_of_burn_is_one_of_torch(name: Any, dtype: torch.dtype) -> None:
    data = bytes(range(1, 2)) + bytes(dtype.itemsize - 1)
    file = bpk({"tensors": {"w": tensor(name, [1], 0, dtype.itemsize)}}, data)

    found = open_record(file)["w"]

    assert found.dtype is dtype
    assert found.view(torch.uint8).tolist() == [*data]


def test_files_of_burn_0_19_have_their_tensors_at_once() -> None:
    noted = {"producer": "burn", "version": "0.19.1"}
    tables = {
        "tensors": {
            "a": tensor("F32", [64], 0, 256),
            "b": tensor("F32", [64], 256, 512),
        },
        "metadata": noted,
    }
    values = torch.arange(128.0)
    uneven = {"tensors": {"a": tensor("U8", [3], 0, 3), "b": tensor("U8", [2], 3, 5)}}

    aligned = open_record(bpk(tables, values.numpy().tobytes(), align=1))
    packed = open_record(bpk(uneven, b"\1\2\3\4\5", align=1))

    assert torch.equal(aligned["b"], values[64:])
    assert packed["b"].tolist() == [4, 5]


def test_a_wide_boolean_that_is_none_is_refused_when_it_is_read() -> None:
    row = tensor({"Bool": "U32"}, [1], 0, 4)
    record = open_record(bpk({"tensors": {"w": row}}, struct.pack("<I", 256)))

    with pytest.raises(RecordFormatError, match="'w'"):
        record["w"].tolist()


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_a_dtype_that_burn_lacks_is_refused_by_name(dtype: torch.dtype) -> None:
    record = Record.from_state_dict({"w": torch.ones(3).to(dtype)})

    with pytest.raises(RecordError, match=r"w: Burn has no torch\..*write \.mpk"):
        BPK.dumps(record)


def test_extra_state_of_tensors_is_refused_and_of_plain_data_is_kept() -> None:
    extra = Entry("a", "extra", torch.float32, (1,), torch.ones(1))
    plain = FlatRecord.of([], tree={"a._extra_state": {"$tuple": [1, "x"]}})

    with pytest.raises(RecordError, match="a: a tensor in a module's extra state"):
        BPK.dumps(FlatRecord.of([extra], tree={"a": {"$tensor": 0}}))

    assert open_record(BPK.dumps(plain)).tree == plain.tree
    burns = with_parts(plain, metadata={"burnish": {"convention": "burn"}})
    assert open_record(BPK.dumps(burns)).tree == plain.tree
