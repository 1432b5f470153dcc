"""What state dicts are made of, as a record and back."""

from pathlib import PurePath
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records import open_record
from burnish.train.plain_records import record_of, value_of

from ..plain_nests import nests_of

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.sampled_from([torch.int8, torch.device("cpu"), PurePath("a"), torch.Size([2])])
)
values = nests_of(leaves)


@settings(max_examples=60, deadline=None)
@given(values)
def test_plain_data_comes_back_as_what_it_was(value: Any) -> None:
    found = value_of(open_record(record_of(value).save()))

    assert repr(found) == repr(value) or found == value
    assert type(found) is type(value) or isinstance(value, PurePath)


class Words(set[str]):
    """A set of a class of its own."""


def test_a_set_of_another_class_comes_back_as_a_set_and_that_is_told() -> None:
    with pytest.warns(
        UserWarning, match=r"value\.a: a .*Words will be read back as a set"
    ):
        record = record_of({"a": Words({"x"})})

    assert value_of(record.flat()) == {"a": {"x"}}


def test_nesting_without_end_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(TypeError, match="nested deeper than 30 levels"):
        record_of(value)
