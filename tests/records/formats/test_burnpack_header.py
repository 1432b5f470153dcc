"""The table of a `.bpk` file: byte for byte, or refused by name."""

import hashlib
from typing import Any

import pytest
import torch

from burnish.records import (
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.entries.entry import Entry
from burnish.records.flat_record import FlatRecord
from burnish.records.formats.burn_ids import id_of_number

from ..burn_files import bpk, tensor
from .burnpacks import BPK, raw

REAL_TABLE = (
    ("conv1.conv.weight", [64, 1, 3, 3], 0x958FE051D890FBCA),
    ("conv1.conv.bias", [64], 0x83EB859ADFFB2071),
    ("conv1.norm.gamma", [64], 0x2EB80F2F1610B359),
    ("conv1.norm.beta", [64], 0x263A345EB8993987),
    ("conv1.norm.running_mean", [64], 0xCB060B430D885942),
    ("conv1.norm.running_var", [64], 0x92F6E10F4A062D0F),
    ("conv2.conv.weight", [64, 64, 3, 3], 0x9B2F9B349B0FA95D),
    ("conv2.conv.bias", [64], 0xD8A52FB14D6899F6),
    ("conv2.norm.gamma", [64], 0x47A4A20579066872),
    ("conv2.norm.beta", [64], 0x05E6E306D4A1CB9E),
    ("conv2.norm.running_mean", [64], 0x6A384E1F449B18D5),
    ("conv2.norm.running_var", [64], 0xF03B222B926A27FE),
    ("fc1.weight", [1600, 128], 0x18024D1A756838CF),
    ("fc1.bias", [128], 0xDCBB3F07B8C6E219),
    ("fc2.weight", [128, 128], 0x556FD062440CDCD3),
    ("fc2.bias", [128], 0x8CF5BEB7BA87E6E1),
    ("fc3.weight", [128, 10], 0x84B5252DAC43EB5E),
    ("fc3.bias", [10], 0x6CE4AB27FB626E63),
)
"""Names, shapes and IDs, in their order, in the container of Burn's own example:
examples/mnist-inference-web/model.bpk of its repository (MIT or Apache-2.0)."""


REAL_HEAD, REAL_SIZE = 1536, 1_044_776


REAL_HEAD_SUM = "3aaf0d23564ff8c25293b003a05752157c8ce694adae6c92f5ad7baa840364aa"
"""Where the tensors of that file begin, its length, the SHA-256 of what is before."""


def record_of_table(table: Any) -> FlatRecord:
    """Return a record in Burn's convention, its values zeros."""
    entries = [
        Entry(
            path,
            "tensor",
            torch.float32,
            tuple(shape),
            torch.zeros(shape),
            id_of_number(number),
        )
        for path, shape, number in table
    ]
    return FlatRecord.of(entries, metadata={"burnish": {"convention": "burn"}})


def test_the_table_of_burns_own_example_is_written_byte_for_byte() -> None:
    data = BPK.dumps(record_of_table(REAL_TABLE))

    assert len(data) == REAL_SIZE
    assert hashlib.sha256(data[:REAL_HEAD]).hexdigest() == REAL_HEAD_SUM
    assert data[REAL_HEAD:] == bytes(REAL_SIZE - REAL_HEAD)


HOSTILE: dict[str, tuple[Any, str]] = {
    "no tensors": ({"metadata": {}}, "no tensors"),
    "a list": ([1, 2], "a list.*expected a map"),
    "a key that is a number": ({1: 2}, "a number.*expected a text"),
    "tensors that are not a map": ({"tensors": [1]}, "a list"),
    "a dtype of no kind": (
        {"tensors": {"w": tensor("F4", [1], 0, 4)}},
        "'w' has the dtype 'F4'.*one of",
    ),
    "a quantized tensor": (
        {"tensors": {"w": tensor({"QFloat": {"value": "Q8S"}}, [1], 0, 4)}},
        "'w' is quantized by Burn.*dequantize it there",
    ),
    "booleans of a kind": (
        {"tensors": {"w": tensor({"Bool": "Bit"}, [1], 0, 4)}},
        "booleans stored as 'Bit'",
    ),
    "a place that ends before it begins": (
        {"tensors": {"w": tensor("F32", [1], 4, 0)}},
        "the offsets",
    ),
    "a place outside": (
        {"tensors": {"w": tensor("F32", [1], 2**63, 2**63 + 4)}},
        "byt",
    ),
    "a shape of other length": (
        {"tensors": {"w": tensor("F32", [3], 0, 4)}},
        "'w' has 4 bytes, expected 12",
    ),
    "a shape that overflows": (
        {"tensors": {"w": tensor("F32", [2**40, 2**40], 0, 4)}},
        "'w' has",
    ),
    "a shape of 65 dimensions": (
        {"tensors": {"w": tensor("F32", [1] * 65, 0, 4)}},
        "a list of 65",
    ),
    "tensors that overlap": (
        {"tensors": {"v": tensor("U8", [4], 0, 4), "w": tensor("U8", [2], 0, 2)}},
        "'v' overlaps 'w'",
    ),
    "one place of two dtypes": (
        {"tensors": {"v": tensor("U8", [4], 0, 4), "w": tensor("F32", [1], 0, 4)}},
        "'w' overlaps 'v'",
    ),
    "no shape": ({"tensors": {"w": {"dtype": "U8", "data_offsets": [0, 4]}}}, "shape"),
    "a name of no path": ({"tensors": {"a..b": tensor("U8", [4], 0, 4)}}, r"a\.\.b"),
    "a name of 5,000 bytes": (
        {"tensors": {"n" * 5000: tensor("U8", [4], 0, 4)}},
        "a text of 5,000 bytes",
    ),
    "metadata of numbers": ({"tensors": {}, "metadata": {"a": 1}}, "expected a text"),
    "a scalar of a wrong kind": (
        {"tensors": {}, "scalars": {"a": {"Float": 3}}},
        "the scalar 'a'",
    ),
    "our key without JSON": (
        {"tensors": {}, "metadata": {"burnish": "hello"}},
        "damaged|JSON|something",
    ),
    "our key with other JSON": (
        {"tensors": {}, "metadata": {"burnish": "[1]"}},
        "damaged metadata under the key 'burnish'",
    ),
    "ties that are none": (
        {
            "tensors": {},
            "metadata": {
                "burnish": '{"burnish":1,"metadata":{},"tree":null,"ties":[[1]]}'
            },
        },
        "damaged ties",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_table_is_refused_by_name(case: str) -> None:
    tables, problem = HOSTILE[case]

    with pytest.raises(RecordFormatError, match=f"(?s){problem}"):
        open_record(bpk(tables, b"\0" * 4 if "data_offsets" in str(tables) else b""))


@pytest.mark.parametrize(
    "text",
    [
        b"\xa2\x67tensors\xa0\x67tensors\xa0",
        b"\xa1\x67tensors\xa1\x61w\xa2\x65dtype\x62U8\x65dtype\x62U8",
        b"\xa2\x67tensors\xa0\x68metadata\xa2\x61a\x61b\x61a\x61b",
        b"\xa2\x67tensors\xa0\x67scalars\xa2\x61a\xa1\x63Int\x01\x61a\xa1\x63Int\x01",
    ],
)
def test_a_key_that_stands_twice_is_refused(text: bytes) -> None:
    with pytest.raises(RecordFormatError, match=r"the key '\w+' twice"):
        open_record(raw(text))


def test_unknown_keys_are_passed_over_as_burn_does() -> None:
    row = {**tensor("U8", [1], 0, 1), "later": {"a": [1, -2, 0.5, True]}}
    tables = {"new": [{"x": "y"}], "tensors": {"w": row}}

    assert open_record(bpk(tables, b"\7"))["w"].tolist() == [7]


def test_a_later_version_is_refused_as_one() -> None:
    with pytest.raises(RecordVersionError, match="Burn's container"):
        open_record(bpk({"tensors": {}}, version=2))
    later = '{"burnish":2,"metadata":{},"tree":null,"ties":[]}'
    with pytest.raises(RecordVersionError, match="burnish"):
        open_record(bpk({"tensors": {}, "metadata": {"burnish": later}}))
