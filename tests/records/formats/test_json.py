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
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.formats.json_numbers import numbers_of, text_of
from burnish.records.recorder import Recorder

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
        (b"]}\n", b"]}\n1", "after the end"),
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
    with pytest.raises(RecordFormatError, match="unknown key 'hidden_size'"):
        open_record(b'{"hidden_size": 3}')


def test_an_unknown_payload_is_named() -> None:
    with pytest.raises(ValueError, match="'numbers' or 'base64' in JSON, got 'hex'"):
        Recorder("json", payload="hex").dumps(Record.from_state_dict({}))
