"""What a declared type says of its values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NewType, TypedDict, TypeVar

import pytest

from burnish.config.classes.declared_types import (
    allows_none,
    is_sequence,
    is_set,
    item_type,
    key_type,
    literals,
    members,
    sequence_in,
    union_of,
)

Width = NewType("Width", int)
Number = TypeVar("Number", int, float)


class Row(TypedDict):
    name: str
    size: int


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, (int,)),
        (int | str | None, (int, str, type(None))),
        (Annotated[int | Literal["auto"], "unit"], (int, Literal["auto"])),
        (Final[Width], (int,)),
        (Number, (int, float)),
    ],
)
def test_the_alternatives_of_a_type_are_those_behind_its_names(
    annotation: Any, expected: Any
) -> None:
    assert members(annotation) == expected


@pytest.mark.parametrize(
    ("annotation", "key", "expected"),
    [
        (list[int], 3, int),
        (tuple[int, str], 1, str),
        (tuple[int, str], 2, Any),
        (tuple[int, ...], 9, int),
        (Mapping[str, float], "a", float),
        (list[int] | dict[str, str], "a", int | str),
        (Row, "size", int),
        (Row, "other", Any),
        (list, 0, Any),
    ],
)
def test_an_item_has_the_type_that_its_container_declares(
    annotation: Any, key: object, expected: Any
) -> None:
    assert item_type(annotation, key) == expected


def test_keys_have_the_types_of_all_mappings_that_are_allowed() -> None:
    assert key_type(dict[int, str]) is int
    assert key_type(dict[int, str] | dict[str, str]) == int | str
    assert key_type(Row) is str
    assert key_type(dict) is Any


@pytest.mark.parametrize("annotation", [None, int | None, Any, Literal["a", None]])
def test_none_is_allowed_where_it_is_declared(annotation: Any) -> None:
    assert allows_none(annotation)
    assert not allows_none(int | str)


def test_texts_are_not_sequences_and_sets_have_no_order() -> None:
    assert is_sequence(Sequence[int])
    assert is_sequence(Iterable[int])
    assert not is_sequence(str)
    assert is_set(set[int] | frozenset[str])
    assert not is_set(set[int] | list[int])
    assert sequence_in(int | list[int] | tuple[str, ...]) == list[int] | tuple[str, ...]


def test_only_a_literal_has_values() -> None:
    assert literals(Literal[1, "a"]) == (1, "a")
    assert literals(int) == literals(list[int]) == ()
    assert union_of([]) is Any
