"""`.bpk`: read as Burn writes it, and written as its reader takes it."""

import base64
import hashlib
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish import verify_file
from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.entry import Entry, ParamId
from burnish.records.flat_record import FlatRecord
from burnish.records.formats.burn_ids import id_of_number, id_of_text, number_of_id
from burnish.records.recorder import Recorder

from ..burn_files import THEIR_DIGITS, bpk, bpk_of_burn, id_text, tensor

BPK = Recorder("bpk")

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


def test_ids_are_the_same_bits_in_burns_digits() -> None:
    for number in (0, 1, 7, 2**64 - 1, 0x958FE051D890FBCA):
        param_id = id_of_number(number)

        assert ParamId.is_valid(param_id)
        assert number_of_id(param_id) == number
        assert id_of_text(id_text(number)) == param_id


def test_ids_of_6_bytes_get_two_zero_bytes_and_uuids_are_drawn_anew() -> None:
    six = b"\x01\x02\x03\xfd\xfe\xff"
    text = base64.b32encode(six).decode().rstrip("=").lower().translate(THEIR_DIGITS)

    assert id_of_text(text) == id_of_number(int.from_bytes(six, "little"))
    assert id_of_text("30b82c23-788d-4d63-a743-ada258d5f13c") is None
    assert id_of_text("") is id_of_text("A" * 13) is None


def test_a_second_tensor_with_the_same_id_gets_none() -> None:
    rows = {"a": tensor("U8", [1], 0, 1, 5), "b": tensor("U8", [1], 256, 257, 5)}

    record = open_record(bpk({"tensors": rows}, b"\1".ljust(257, b"\2")))

    assert [entry.id for entry in record.entries()] == [id_of_number(5), None]


def test_tied_tensors_stand_on_one_place_and_the_first_has_the_id() -> None:
    tied = Entry(
        "b.w", "parameter", torch.float32, (2,), torch.ones(2), ParamId("a" * 13)
    )
    tied.ties = ("a.w", "c.w")

    data = BPK.dumps(FlatRecord.of([tied]))

    [entry] = open_record(data).entries()
    assert (entry.path, entry.ties, entry.id) == ("b.w", ("a.w", "c.w"), tied.id)
    assert data.count(b"param_id") == 1
    assert data.endswith(torch.ones(2).numpy().tobytes())


HOSTILE: dict[str, tuple[Any, str]] = {
    "no tensors": ({"metadata": {}}, "no tensors"),
    "a list": ([1, 2], "a list.*expected a map"),
    "a key that is a number": ({1: 2}, "a number.*expected a text"),
    "tensors that are no map": ({"tensors": [1]}, "a list"),
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


def raw(text: bytes) -> bytes:
    return b"NRUB" + struct.pack("<HI", 1, len(text)) + text + bytes(300)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xbf\xff",
        b"\xa1\x7f",
        b"\xbb" + b"\xff" * 8,
        b"\xa1\x67tensors\xbb" + b"\xff" * 8,
        b"\xa1\x67tensors\xa1\x7b" + b"\xff" * 8,
        b"\xa1\x61x" + b"\x81" * 200_000,
        b"\xa1\x61x" + b"\xd9\xd9\xf7" * 100_000,
        b"\xa2\x61x\x01\x61x\x02",
        b"\xa1\x62\xff\xfe\x01",
        b"\xa1\x61x\xf8\x20",
        b"\xa1\x67tensors\xa0\x00",
    ],
)
def test_hostile_cbor_is_refused_at_once(text: bytes) -> None:
    with pytest.raises(RecordFormatError):
        open_record(raw(text))


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


def test_a_wide_boolean_that_is_none_is_refused_when_it_is_read() -> None:
    row = tensor({"Bool": "U32"}, [1], 0, 4)
    record = open_record(bpk({"tensors": {"w": row}}, struct.pack("<I", 256)))

    with pytest.raises(RecordFormatError, match="'w'"):
        record["w"].tolist()


@pytest.mark.parametrize(
    ("limit", "value", "problem"),
    [
        ("_MOST_TENSORS", 2, "3 tensors"),
        ("_MOST_TENSOR", 11, "12 bytes in one tensor"),
        ("_MOST_FILE", 600, "bytes, and Burn reads files of at most 600"),
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
    burns = plain.replaced(metadata={"burnish": {"convention": "burn"}})
    assert open_record(BPK.dumps(burns)).tree == plain.tree


def test_a_file_cut_to_the_length_of_an_unaligned_one_is_not_read_shifted() -> None:
    file = bpk({"tensors": {"w": tensor("F32", [64], 0, 256)}}, bytes(256))
    n_pad = 256 - (10 + struct.unpack("<I", file[6:10])[0]) % 256

    with pytest.raises(RecordFormatError):
        open_record(file[:-n_pad])
