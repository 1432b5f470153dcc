"""Plain data comes back, or is refused when it would come back otherwise."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records import (
    Record,
)
from burnish.records.entries.encoder import Encoder
from burnish.records.entries.nodes import (
    decode,
    entry_numbers,
    paths_of_plain_data,
    renumbered,
    tag_of,
    unique_map,
)
from burnish.records.entries.wrapper_forms import Form

from ..typed_records import Anything, Mode

_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


_KEYS = st.text(max_size=4) | st.sampled_from(["$tuple", "$dict", "$", "a.b"])


_VALUES = st.recursive(
    _SCALARS | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(_KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)


def _number(tag: str, number: int) -> object:
    return tag, number


def _wrapped(form: Form, parts: Mapping[str, object], path: str) -> object:
    return form, parts


@settings(max_examples=60, deadline=None)
@given(_VALUES)
def test_a_value_comes_back_from_its_node(value: object) -> None:
    node = Encoder().encode(value, "field")

    assert repr(decode(node, _number, _wrapped)) == repr(value)


@pytest.mark.parametrize(
    "node",
    [
        {"$tuple": 1},
        {"$tensor": -1},
        {"$tensor": True},
        {"$record": ["name"]},
        {"$dict": [["a", 1], ["a", 2]]},
        {"$int": "0x1"},
        {"$float": "1.5"},
    ],
)
def test_a_tag_that_holds_something_else_is_an_error(node: object) -> None:
    with pytest.raises(ValueError, match="of the wrong kind"):
        decode(node, _number, _wrapped)


def test_a_tag_of_no_language_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"unknown tag '\$set'"):
        tag_of({"$set": []})


def test_a_key_that_is_no_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a string"):
        tag_of({1: 2})


def test_entries_are_numbered_anew_wherever_they_stand() -> None:
    node = {"a": [{"$tensor": 0}], "b": {"$dict": [["$", {"$bytes": 1}]]}}

    moved = renumbered(node, {0: 5, 1: 7})

    assert list(entry_numbers(node)) == [0, 1]
    assert list(entry_numbers(moved)) == [5, 7]
    assert list(entry_numbers(moved, frozenset({"$bytes"}))) == [7]


def test_a_key_that_stands_twice_is_an_error() -> None:
    assert unique_map([("a", 1), ("b", 2)]) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="the same key twice"):
        unique_map([("a", 1), ("a", 2)])


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_any_plain_value_comes_back_from_messagepack(value: Any) -> None:
    back = Anything.load(Anything(value=value).save())

    assert back.value == value
    assert type(back.value) is type(value)


def test_metadata_and_extra_state_take_no_enum_that_would_become_its_name() -> None:
    flat = Record.from_state_dict({"x": torch.ones(1)})

    with pytest.raises(TypeError, match=r"metadata\.mode.*store its \.value"):
        flat.save(metadata={"mode": Mode.TRAIN})
    with pytest.raises(TypeError, match=r"mode.*store its \.value"):
        Record.from_state_dict({"x": torch.ones(1), "mode": Mode.TRAIN})


def test_what_is_no_tensor_is_found_where_it_stands() -> None:
    record = {
        "a": {"$tensor": 0},
        "b": [{"$tuple": [{"$array": 1}, 2]}, {"$enum": "x"}],
    }

    assert [*paths_of_plain_data({"$record": ["S", record]})] == ["b.0.1", "b.1"]
    assert [*paths_of_plain_data({"$bytes": 0})] == []
    assert [*paths_of_plain_data(None)] == [""]
