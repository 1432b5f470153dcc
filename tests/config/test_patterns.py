"""Patterns of paths: what they match, and what their wildcards stand for."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from burnish.config.patterns import (
    as_patterns,
    fill_wildcards,
    matches,
    wildcard_values,
)

PARTS = st.sampled_from(["**", "**", "a", "b", "*", "a*", "*b", "ab", "{a,b}"])
NAMES = st.lists(st.sampled_from(["a", "b", "ab", "ba", "a\nb"]), min_size=1)


def naive_bind(pattern: Sequence[str], names: Sequence[str]) -> tuple[str, ...] | None:
    """Try every number of parts for each ``**``, fewest first."""
    if not pattern:
        return None if names else ()
    if pattern[0] == "**":
        for n in range(len(names) + 1):
            tail = naive_bind(pattern[1:], names[n:])
            if tail is not None:
                return (".".join(names[:n]), *tail)
        return None
    values = wildcard_values(pattern[:1], names[:1]) if names else None
    tail = None if values is None else naive_bind(pattern[1:], names[1:])
    return None if values is None or tail is None else (*values, *tail)


@given(st.lists(PARTS, min_size=1, max_size=7), NAMES)
def test_a_pattern_matches_and_binds_as_trying_everything_does(
    pattern: list[str], names: list[str]
) -> None:
    expected = naive_bind(pattern, names)

    assert matches(".".join(pattern), ".".join(names)) == (expected is not None)
    assert wildcard_values(pattern, names) == expected


def test_many_double_stars_take_time_in_proportion_to_the_path() -> None:
    pattern, names = ["**", "a"] * 40 + ["**", "b"], ["a"] * 4_000

    # Trying everything would not end within a lifetime.
    assert not matches(".".join(pattern), ".".join(names))
    assert wildcard_values(pattern, names) is None
    assert matches(".".join(pattern), ".".join([*names, "b"]))


def test_wildcards_are_bound_and_filled() -> None:
    bound = wildcard_values(("a", "*", "**", "{x,y}_z"), ("a", "1", "b", "c", "x_z"))

    assert bound == ("1", "b.c", "x")
    assert fill_wildcards(("**", "*", "w_*"), ("b.c", "1", "x")) == (
        "b",
        "c",
        "1",
        "w_x",
    )
    assert wildcard_values(("a", "*"), ("b", "1")) is None


def test_a_module_is_no_predicate_though_it_can_be_called() -> None:
    with pytest.raises(
        TypeError, match=r"a module \(Linear\) is not a pattern; pass its path"
    ):
        as_patterns(nn.Linear(1, 1))


@pytest.mark.parametrize("patterns", [b"a.*", [None], ["a", 3], [nn.Linear], int])
def test_what_is_neither_a_path_nor_a_predicate_is_refused(patterns: Any) -> None:
    with pytest.raises(TypeError, match="a pattern must be a str or a predicate, got"):
        as_patterns(patterns)


def test_patterns_that_can_be_read_only_once_are_refused() -> None:
    with pytest.raises(TypeError, match="can be read only once: pass a list"):
        as_patterns(pattern for pattern in ("a", "b"))  # type: ignore[arg-type]
