"""Fields are read when touched, and checked against what they declare."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.records import (
    Record,
    RecordMismatchError,
)

from .typed_records import Anything, Moments


class Numbers(Record):
    counts: dict[str, list[int]]
    pair: tuple[float, str | None]
    weight: torch.Tensor


class Words(Record):
    counts: dict[str, list[str]]
    pair: tuple[float, str | None]
    weight: torch.Tensor


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(st.text(max_size=4), st.lists(st.integers(), max_size=3)),
    st.tuples(st.floats(allow_nan=False), st.none() | st.text(max_size=4)),
)
def test_a_record_comes_back_as_its_fields_declare(
    tmp_path_factory: pytest.TempPathFactory,
    counts: dict[str, list[int]],
    pair: tuple[float, str | None],
) -> None:
    file = tmp_path_factory.mktemp("records") / "numbers.mpk"
    Numbers(counts=counts, pair=pair, weight=torch.ones(2)).save(file)

    record = Numbers.load(file)

    assert record.counts == counts
    assert record.pair == pair
    assert record.weight.tolist() == [1, 1]


def test_a_field_of_another_type_is_an_error_once_it_is_touched(tmp_path: Path) -> None:
    file = tmp_path / "numbers.mpk"
    Numbers(counts={"a": [1]}, pair=(0.5, None), weight=torch.ones(2)).save(file)

    record = Words.load(file)

    assert record.pair == (0.5, None)
    with pytest.raises(RecordMismatchError, match=r"counts\.a\.0"):
        _ = record.counts


def test_a_field_is_read_when_touched_and_only_then(tmp_path: Path) -> None:
    file = tmp_path / "two.mpk"
    Moments(m=torch.zeros(64), v=torch.ones(64)).save(file)
    content = bytearray(file.read_bytes())
    at = content.rfind(torch.ones(64).numpy().tobytes())
    content[at] ^= 1
    file.write_bytes(content)

    record = Moments.load(file)

    assert torch.equal(record.m, torch.zeros(64))
    with pytest.raises(Exception, match=r"two\.mpk: the bytes of v are not the ones"):
        _ = record.v


def test_unknown_and_missing_fields_name_both_sides() -> None:
    class Old(Record):
        t: int
        mm: Tensor

    class New(Record):
        t: int
        m: Tensor

    data = Old(t=1, mm=torch.ones(1)).save()

    with pytest.raises(RecordMismatchError) as caught:
        New.load(data)

    assert "mm: stored in the" in str(caught.value)
    assert "m: missing in the stored" in str(caught.value)
    assert "Did you mean 'm'?" in str(caught.value)


def test_a_field_of_another_type_names_the_path_and_both_types() -> None:
    data = Anything(value={"inner": "text"}).save()

    class Wanted(Record):
        value: dict[str, int]

    with pytest.raises(
        RecordMismatchError, match=r"value\.inner: found 'text', expected"
    ):
        _ = Wanted.load(data).value


@pytest.mark.parametrize("value", [1, 0.5, None, "text", [1], {"a": 1}])
def test_what_stands_where_a_record_is_declared_is_named(value: object) -> None:
    class Declared(Record):
        value: Numbers

    class Undeclared(Record):
        value: Record

    data = Anything(value=value).save()
    for cls in (Declared, Undeclared):
        with pytest.raises(RecordMismatchError, match=r"value: found .*, expected"):
            _ = cls.load(data).value


def test_a_bool_is_no_int_and_an_int_is_a_float() -> None:
    class Number(Record):
        x: float

    class Whole(Record):
        x: int

    class Truth(Record):
        x: bool

    data = Anything(value=2)
    stored = Number.load(Number(x=2).save())

    assert stored.x == 2.0
    with pytest.raises(RecordMismatchError, match="x: found True, expected int"):
        _ = Whole.load(Truth(x=True).save()).x
    assert data.value == 2
