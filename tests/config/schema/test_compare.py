"""Changes between two structs are told apart."""

import enum
from collections import Counter
from datetime import date
from typing import Any, Literal, NamedTuple

import pytest
from pydantic import AliasChoices

from burnish.config import (
    Hparam,
    Hparams,
    dumps,
    loads,
)

from .old_files import check, config


class Size(NamedTuple):
    width: int
    scale: float = 2.0


class Shade(enum.Enum):
    DARK = "dark"


@pytest.mark.parametrize(
    "annotation",
    [
        Size,
        dict[str, Size],
        Literal[Shade.DARK],
        Literal[b"x"],
        dict[Shade, int],
        dict[date, int],
        dict[Literal["a", "b"], int],
        dict[bytes, int],
        Counter[str],
        tuple[()],
    ],
)
def test_a_field_that_stayed_as_it_was_is_compatible(annotation: Any) -> None:
    assert check(config(annotation), config(annotation)).compatible


def colors(*names: str) -> Any:
    functional: Any = enum.IntEnum
    return functional("Color", list(names))


def members_after(before: Any, after: Any) -> list[str]:
    """Return the names that old files' members have with the rules proposed."""
    old = config(before)
    rules = check(old, config(after)).proposed_fixes
    new = config(after, rules=rules)
    texts = [dumps(old(x=member)) for member in before]
    assert len(rules) == 1
    return [loads(new, text).x.name for text in texts]


def test_a_variant_inserted_first_shifts_all_values_at_once() -> None:
    before, after = (
        colors("RED", "GREEN", "BLUE"),
        colors("NEW", "RED", "GREEN", "BLUE"),
    )

    assert members_after(before, after) == ["RED", "GREEN", "BLUE"]


def test_values_that_are_swapped_do_not_collapse() -> None:
    functional: Any = enum.Enum
    before = functional("Color", {"RED": 1, "GREEN": 2, "BLUE": 3})
    after = functional("Color", {"RED": 2, "GREEN": 1, "BLUE": 3})

    assert members_after(before, after) == ["RED", "GREEN", "BLUE"]


def test_a_name_that_is_still_an_alias_needs_no_rule() -> None:
    class Old(Hparams):
        lr: float

    class New(Hparams):
        rate: float = Hparam(validation_alias=AliasChoices("rate", "lr"))

    assert check(Old, New).compatible
