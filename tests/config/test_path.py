"""Dotted paths, written and taken apart."""

from typing import Any

import pytest

from burnish.config.path import child, item_index, join, parts, path_below, path_of


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a.b.0.c", ("a", "b", "0", "c")),
        ("xs[0].b", ("xs", "0", "b")),
        ('d["a.b"][-1]', ("d", "a.b", "-1")),
    ],
)
def test_paths_come_apart_in_either_spelling(path: str, names: tuple[str, ...]) -> None:
    assert parts(path) == names


def test_paths_that_children_are_given_come_apart_again() -> None:
    path = child(child(child("", "a"), 0), 'x."y"=')

    assert parts(path) == ("a", "0", 'x."y"=')


def test_a_path_below_another_is_seen_from_the_root() -> None:
    assert path_below("a.b", "c") == "a.b.c"
    assert path_below("a.b", "[0].c") == "a.b[0].c"
    assert path_below("", "c") == "c"
    assert join("a", "", 0, "b") == "a.0.b"


@pytest.mark.parametrize(("name", "index"), [("0", 0), ("-1", -1), ("\u00b2", None)])
def test_only_plain_digits_are_the_number_of_an_item(
    name: str, index: int | None
) -> None:
    assert item_index(name) == index


@pytest.mark.parametrize(
    "names", [("a",), ("d", "a.b", "x"), ("l", "1"), ("t", 'q"[', ""), ("é", "a b")]
)
def test_a_path_is_taken_apart_into_the_names_that_it_was_made_of(
    names: tuple[str, ...],
) -> None:
    assert parts(path_of(names)) == names


@pytest.mark.parametrize("path", [None, b"a.b", 3])
def test_a_path_is_a_text(path: Any) -> None:
    with pytest.raises(TypeError, match=r"a path is a text like 'a\.b', got"):
        parts(path)
