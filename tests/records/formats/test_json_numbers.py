"""Numbers as text, exact to the bit."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records import (
    open_record,
)
from burnish.records.formats.json_numbers import numbers_of, text_of_numbers

from .json_files import Same, saved


def test_a_line_has_at_most_65536_numbers() -> None:
    lines = saved({"w": torch.ones(200_000)}).splitlines()

    assert max(line.count(b",") for line in lines) <= 1 << 16


def test_what_json_has_no_number_for_is_a_string() -> None:
    values = torch.tensor([float("inf"), -float("inf"), float("nan"), 1.0])
    odd = torch.tensor([0x7FC00001]).to(torch.int32).view(torch.float32)

    assert text_of_numbers(values) == b'"inf","-inf","nan",1.0'
    assert text_of_numbers(odd) == b'"nan:7fc00001"'


@given(st.lists(st.floats(width=32), max_size=50))
@settings(max_examples=200, deadline=None)
def test_any_float32_is_its_text(values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)

    back = numbers_of(text_of_numbers(tensor), torch.float32)

    assert torch.equal(back.view(torch.int32), tensor.view(torch.int32))


@given(st.lists(st.floats(), max_size=50))
@settings(max_examples=200, deadline=None)
def test_any_float64_is_its_text(values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float64)

    back = numbers_of(text_of_numbers(tensor), torch.float64)

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
        (b"1.5", torch.int32, "float, expected an integer"),
        (b"256", torch.uint8, "not a uint8"),
        (b"-1", torch.uint64, "not a uint64"),
        (b"18446744073709551616", torch.uint64, "float, expected an integer"),
        (b"1", torch.bool, "int, expected true or false"),
        (b'"nan:3f800000"', torch.float32, "which is not a float32"),
        (b'"nan:7fc0"', torch.float32, "which is not a float32"),
        (b'"inf"', torch.float8_e4m3fn, "which is not a float8_e4m3fn"),
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


def test_integers_to_2_to_53_are_numbers_and_longer_ones_are_texts() -> None:
    odd = {"a": 2**53, "b": -(2**53), "c": 2**53 + 1, "d": -(2**53) - 1, "e": 1}

    data = saved({"w": torch.ones(1)}, **odd)

    metadata = json.loads(data)["metadata"]
    assert [metadata[key] for key in ("a", "b", "e")] == [2**53, -(2**53), 1]
    assert metadata["c"] == {"$int": "9007199254740993"}
    assert metadata["d"] == {"$int": "-9007199254740993"}
    assert {key: open_record(data).metadata[key] for key in odd} == odd


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
        with pytest.raises(
            ValueError, match=r"is not an? u?int|float, expected an integer"
        ):
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

    assert text_of_numbers(values) == text
    assert values[0] == 1
    assert values[1].isnan()
    assert values[2] == 2
    for other in (digits + "0", digits[1:], "0" * len(digits), "g" * len(digits)):
        with pytest.raises(ValueError, match="which is not a"):
            numbers_of(b'"nan:%b"' % other.encode(), dtype)
