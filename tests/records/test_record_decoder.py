"""RecordDecoder: nodes as what fields declare, checked when they are touched."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records import Record, RecordMismatchError


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
