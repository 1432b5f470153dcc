"""`.json`: exact numbers that people and tools may touch."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.flat_record import FlatRecord
from burnish.records.formats.json_numbers import numbers_of, text_of
from burnish.records.recorder import Recorder

from ..hostile_files import entry

Same = Callable[[torch.Tensor, torch.Tensor], bool]
Tensors = dict[str, torch.Tensor]

JSON = Recorder("json")


def saved(tensors: Tensors, **metadata: Any) -> bytes:
    return JSON.dumps(Record.from_state_dict(tensors), metadata=metadata)


def edited(data: bytes, change: Callable[[Any], object]) -> bytes:
    document: Any = json.loads(data)
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize("payload", ["numbers", "base64"])
def test_every_dtype_and_shape_comes_back_bit_for_bit(
    payload: str, awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "all.json"

    Recorder("json", payload=payload).save(Record.from_state_dict(awkward), file)

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in awkward.items() if not same(record[p], t)] == []
        assert record.verified == "all"


def test_the_file_is_json_with_numbers_in_it() -> None:
    document = json.loads(saved({"w": torch.tensor([0.1, -0.0, 2.0])}, epoch=3))

    assert document["burnish"] == 1
    assert document["metadata"]["epoch"] == 3
    assert document["tensors"][0]["values"] == [0.1, -0.0, 2.0]
    assert document["tensors"][0]["shape"] == [3]


def test_a_line_has_at_most_65536_numbers() -> None:
    lines = saved({"w": torch.ones(200_000)}).splitlines()

    assert max(line.count(b",") for line in lines) <= 1 << 16


def test_what_json_has_no_number_for_is_a_string() -> None:
    values = torch.tensor([float("inf"), -float("inf"), float("nan"), 1.0])
    odd = torch.tensor([0x7FC00001]).to(torch.int32).view(torch.float32)

    assert text_of(values) == b'"inf","-inf","nan",1.0'
    assert text_of(odd) == b'"nan:7fc00001"'


@given(st.lists(st.floats(width=32), max_size=50))
@settings(max_examples=200, deadline=None)
def test_any_float32_is_its_text(values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)

    back = numbers_of(text_of(tensor), torch.float32)

    assert torch.equal(back.view(torch.int32), tensor.view(torch.int32))


@given(st.lists(st.floats(), max_size=50))
@settings(max_examples=200, deadline=None)
def test_any_float64_is_its_text(values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float64)

    back = numbers_of(text_of(tensor), torch.float64)

    assert torch.equal(back.view(torch.int64), tensor.view(torch.int64))


@pytest.mark.parametrize(
    ("text", "dtype", "problem"),
    [
        (b"1,true", torch.float32, "bool"),
        (b"null", torch.float32, "NoneType"),
        (b"1e39", torch.float32, "too large for float32"),
        (b"70000", torch.float16, "too large for float16"),
        (b"1e999", torch.float64, "infinity"),
        (b"NaN", torch.float32, "unexpected"),
        (b"Infinity", torch.float32, "unexpected"),
        (b"1.5", torch.int32, "float where an integer"),
        (b"256", torch.uint8, "no uint8"),
        (b"-1", torch.uint64, "no uint64"),
        (b"18446744073709551616", torch.uint64, "float where an integer"),
        (b"1", torch.bool, "int where true or false"),
        (b'"nan:3f800000"', torch.float32, "which no float32"),
        (b'"nan:7fc0"', torch.float32, "which no float32"),
        (b'"inf"', torch.float8_e4m3fn, "which no float8_e4m3fn"),
        (b"[1]", torch.float32, "list"),
        (b"01", torch.float32, "leading zero"),
        (b"1,,2", torch.float32, "unexpected"),
    ],
)
def test_what_is_no_number_of_the_dtype_is_refused(
    text: bytes, dtype: torch.dtype, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        numbers_of(text, dtype)


def test_minus_zero_survives_tools_that_drop_its_point(same: Same) -> None:
    values = torch.tensor([-0.0, -0.5, 10.0, -0.0])

    assert same(numbers_of(b"-0, -0.5,10.0 ,-0\n", torch.float32), values)


@pytest.mark.parametrize(
    "tool", [[sys.executable, "-m", "json.tool"], ["jq", "."], ["jq", "-S", "-c", "."]]
)
def test_a_reformatted_file_still_loads_and_is_verified(
    tool: list[str], same: Same, tmp_path: Path
) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"needs {tool[0]}")
    tensors = {"a": torch.randn(20, 7), "s": torch.tensor(-0.0), "e": torch.ones(0)}
    file = tmp_path / "m.json"
    file.write_bytes(saved(tensors, note={"b": [1, 2.5, None, "ä\n"]}))

    text = subprocess.run([*tool, file], check=True, capture_output=True).stdout

    record = open_record(text)
    record.load_all()
    assert all(same(record[path], tensors[path]) for path in tensors)
    assert record.metadata["note"] == {"b": [1, 2.5, None, "ä\n"]}
    assert record.verified == "all"


def test_values_edited_by_hand_need_their_sum_removed() -> None:
    data = saved({"w": torch.tensor([1.0, 2.0])})

    def change(document: Any) -> None:
        document["tensors"][0]["values"][0] = 5

    def change_and_say_so(document: Any) -> None:
        change(document)
        del document["tensors"][0]["xxh3"]

    with pytest.raises(RecordChecksumError, match="w"):
        open_record(edited(data, change))["w"]
    record = open_record(edited(data, change_and_say_so))
    assert record["w"].tolist() == [5.0, 2.0]
    assert record.verified == "none"


def test_a_byte_order_mark_before_the_text_is_read_past() -> None:
    record = open_record(b"\xef\xbb\xbf" + saved({"w": torch.ones(2)}))

    assert record["w"].tolist() == [1.0, 1.0]


def test_long_integers_and_odd_floats_in_metadata_come_back() -> None:
    data = saved(
        {"w": torch.ones(1)}, big=2**63 - 1, huge=-(10**40), odd=[float("inf")]
    )

    metadata = open_record(data).metadata

    assert metadata["big"] == 2**63 - 1
    assert metadata["huge"] == -(10**40)
    assert metadata["odd"] == [float("inf")]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"burnish": 1', b'"burnish": 0', "version 0"),
        (b'"burnish": 1', b'"burnish": 1, "burnish": 1', "'burnish' twice"),
        (b'"burnish": 1', b'"burnish": 1, "x": 1', "unknown key 'x'"),
        (b'"burnish": 1,', b"", "without the key 'burnish'"),
        (b'"path":"w"', b'"path":"w","path":"w"', "'path' twice"),
        (b'"path":"w"', b'"path":"w","n":1', "unknown key 'n'"),
        (b'"path":"w"', b'"path":""', "called ''"),
        (b'"shape":[2]', b'"shape":[3]', "instead of 3"),
        (b'"shape":[2]', b'"shape":[1]', "more than 1"),
        (b'"shape":[2]', b'"shape":[-2]', "shape"),
        (b'"shape":[2]', b'"shape":[4611686018427387904]', "shape"),
        (b'"shape":[2]', b'"shape":[1000000000000]', "fewer than"),
        (b'"dtype":"float32"', b'"dtype":"object"', "unknown dtype 'object'"),
        (b"1.0,1.0", b"1.0,1.0,", "no number beside it"),
        (b"1.0,1.0", b"1.0 1.0", "damaged values of 'w'"),
        (b"1.0,1.0", b"1.0,[1.0]", "damaged"),
        (b"1.0,1.0", b"NaN,1.0", "damaged values of 'w'"),
        (b'"tree": {}', b'"tree": NaN', "expected a value"),
        (b'"tree": {}', b'"tree": {"a": 1e999}', "infinity"),
        (b'"tree": {}', b'"tree": {"a": 99999999999999999999}', "64 bits"),
        (b'"tree": {}', b'"tree": ' + b"[" * 300 + b"]" * 300, "64 levels"),
        (b'"tree": {}', b'"tree": {"a": "\\ud800"}', "surrogate"),
        (b'"tree": {}', b'"tree": {"a": tru}', "expected a value"),
        (b'"burnish": 1', b'"burnish": "1"', "the version '1'"),
        (b'"burnish": 1', b'"burnish": true', "the version True"),
        (b'"values": [', b'"values": [0.5], "values": [', "'values' twice"),
        (b'"values": [', b'"base64": "", "values": [', "values twice"),
        (b'"values": [1.0,1.0], ', b"", "without a path or values"),
        (b'"path":"w",', b"", "without a path or values"),
        (b'"path":"w"', b'"path":3', "without a path or values"),
        (b'"xxh3": "', b'"xxh3": "0', "no|not 16 hexadecimal digits"),
        (b'"xxh3": "', b'"xxh3": "x', "not 16 hexadecimal digits"),
        (b'"xxh3": "', b'"xxh3": 3, "id": "', "not 16 hexadecimal digits"),
        (b'"path":"w"', b'"path":"w","ties":"x"', "damaged ties"),
        (b'"path":"w"', b'"path":"w","ties":[3]', "damaged ties"),
        (b'"path":"w"', b'"path":"w","ties":["w"]', "two entries called 'w'"),
        (b'"values": [1.0,1.0]', b'"values": 3', r"expected \["),
        (b'"values": [1.0,1.0]', b'"values": [1.0,1.0', "damaged|expected"),
        (b'"values": [1.0,1.0]', b'"values": []', "fewer than 2 numbers"),
        (b'"values": [1.0,1.0]', b'"values": [,1.0]', "no number beside it"),
        (b'"values": [1.0,1.0]', b'"values": [1.0  ]', "1 numbers instead of 2"),
        (b"]}\n", b"]}\n1", "after the end"),
        (b"]}\n", b"", "expected ]"),
    ],
)
def test_damage_is_refused_with_its_place(old: bytes, new: bytes, problem: str) -> None:
    data = saved({"w": torch.ones(2)})
    assert data.count(old) >= 1

    with pytest.raises(RecordFormatError, match=problem):
        open_record(data.replace(old, new, 1)).load_all()


def test_a_newer_version_is_refused_by_its_number() -> None:
    with pytest.raises(RecordVersionError, match="version 2"):
        open_record(
            saved({"w": torch.ones(1)}).replace(b'"burnish": 1', b'"burnish": 2')
        )


def test_other_json_is_told_from_a_record() -> None:
    with pytest.raises(RecordFormatError, match=r"another program.*'hidden_size'"):
        open_record(b'{"hidden_size": 3}')


def test_an_unknown_payload_is_named() -> None:
    with pytest.raises(ValueError, match="'numbers' or 'base64' in JSON, got 'hex'"):
        Recorder("json", payload="hex").dumps(Record.from_state_dict({}))


def test_a_row_says_only_what_is_not_usual() -> None:
    tied = torch.ones(2)
    rows = json.loads(saved({"w": tied, "t": tied}))["tensors"]

    (row,) = rows
    assert row.keys() == {"path", "kind", "dtype", "shape", "ties", "values", "xxh3"}
    assert row["ties"] == ["t"]


def test_integers_to_2_to_53_are_numbers_and_longer_ones_are_texts() -> None:
    odd = {"a": 2**53, "b": -(2**53), "c": 2**53 + 1, "d": -(2**53) - 1, "e": 1}

    data = saved({"w": torch.ones(1)}, **odd)

    metadata = json.loads(data)["metadata"]
    assert [metadata[key] for key in ("a", "b", "e")] == [2**53, -(2**53), 1]
    assert metadata["c"] == {"$int": "9007199254740993"}
    assert metadata["d"] == {"$int": "-9007199254740993"}
    assert {key: open_record(data).metadata[key] for key in odd} == odd


def test_floats_that_json_has_not_are_named_in_metadata() -> None:
    inf = float("inf")

    found = json.loads(saved({}, odd=[inf, -inf, float("nan"), 0.5]))["metadata"]

    names = [{"$float": name} for name in ("inf", "-inf", "nan")]
    assert found["odd"] == [*names, 0.5]


@pytest.mark.parametrize("payload", ["numbers", "base64"])
@pytest.mark.parametrize("piece", [64, 67, 71, 79, 92, 96])
def test_values_are_read_whatever_pieces_their_text_comes_in(
    piece: int, payload: str, same: Same, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {
        "f": torch.randn(500, dtype=torch.float64),
        "i": torch.arange(70),
        "c": torch.randn(50, dtype=torch.complex64),
        "b": torch.arange(99) % 2 == 0,
        "e": torch.zeros(0, 3),
        "s": torch.tensor(2.5),
    }
    # Whole groups of four characters of base64, of numbers any.
    size = piece - piece % 4 if payload == "base64" else piece
    data = Recorder("json", payload=payload).dumps(Record.from_state_dict(tensors))
    monkeypatch.setattr("burnish.records.formats.json_values._PIECE", size)

    record = open_record(data)

    assert [p for p, t in tensors.items() if not same(record[p], t)] == []


def test_a_number_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.records.formats.json_values._PIECE", 64)
    data = saved({"w": torch.ones(2)})

    for digits, problem in ((500, "over a million characters"), (60, "checksum|sum")):
        text = data.replace(b"1.0,1.0", b"1." + b"1" * digits + b",1.0")
        with pytest.raises((RecordFormatError, RecordChecksumError), match=problem):
            _ = open_record(text)["w"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"AACAPwAAgD8="', b'"AACAPwAAgD8"', "another length than 8 bytes"),
        (b'"AACAPwAAgD8="', b'"AACAPwAAgD8=="', "another length"),
        (b'"AACAPwAAgD8="', b'"AACAPwAAgD8AAAA="', "another length"),
        (b'"AACAPwAAgD8="', b'"AACAPw=AgD8="', "damaged values of 'w'"),
        (b'"AACAPwAAgD8="', b'"AACAPw!AgD8="', "damaged values of 'w'"),
        (b'"AACAPwAAgD8="', b"[]", 'expected "'),
    ],
)
def test_damaged_base64_is_refused(old: bytes, new: bytes, problem: str) -> None:
    data = Recorder("json", payload="base64").dumps(
        Record.from_state_dict({"w": torch.ones(2)})
    )
    assert data.count(old) == 1

    with pytest.raises(RecordFormatError, match=problem):
        open_record(data.replace(old, new)).load_all()


def test_booleans_in_base64_are_0_or_1() -> None:
    data = Recorder("json", payload="base64").dumps(
        Record.from_state_dict({"w": torch.tensor([True, False])})
    )

    with pytest.raises(RecordFormatError, match="no boolean"):
        open_record(data.replace(b'"AQA="', b'"AgA="')).load_all()


def test_a_minus_zero_is_an_integer_where_one_must_stand() -> None:
    assert numbers_of(b"-0,-7,0", torch.int32).tolist() == [0, -7, 0]


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int32, torch.uint64, torch.int64]
)
def test_integers_reach_the_ends_of_their_dtype(dtype: torch.dtype) -> None:
    least, most = torch.iinfo(dtype).min, torch.iinfo(dtype).max

    values = numbers_of(b"%d,%d" % (least, most), dtype)

    assert [int(v) for v in values.numpy()] == [least, most]
    assert numbers_of(b"", dtype).shape == (0,)
    for beyond in (least - 1, most + 1):
        with pytest.raises(ValueError, match=r"no u?int|float where an integer"):
            numbers_of(b"%d" % beyond, dtype)


@pytest.mark.parametrize(
    ("dtype", "digits"),
    [
        (torch.float16, "7e01"),
        (torch.bfloat16, "7fc1"),
        (torch.float32, "ffc00001"),
        (torch.float64, "7ff8000000000001"),
        (torch.float8_e5m2, "7d"),
    ],
)
def test_a_nan_of_other_bits_is_read_and_written_by_its_bits(
    dtype: torch.dtype, digits: str
) -> None:
    text = b'1.0,"nan:%b",2.0,"nan"' % digits.encode()

    values = numbers_of(text, dtype)

    assert text_of(values) == text
    assert values[0] == 1
    assert values[1].isnan()
    assert values[2] == 2
    for other in (digits + "0", digits[1:], "0" * len(digits), "g" * len(digits)):
        with pytest.raises(ValueError, match="is called"):
            numbers_of(b'"nan:%b"' % other.encode(), dtype)


def test_many_ties_count_as_what_a_file_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 16)

    def tied(n: int) -> FlatRecord:
        ties = tuple(f"t{i}" for i in range(n))
        return FlatRecord.of([entry("w", "buffer", torch.ones(1), ties=ties)])

    assert open_record(JSON.dumps(tied(300))).entries()[0].ties[299] == "t299"
    with pytest.raises(RecordError, match=r"Write \.mpk"):
        JSON.dumps(tied(3000))
