"""Members of enums by name and by value."""

import enum

import pytest

from burnish.config.plain.enums import member_name, member_of, member_value


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Shape(enum.Enum):
    ROUND = object()
    FLAT = "flat"


@pytest.mark.parametrize(
    "member", [Rights.READ, Rights.READ | Rights.WRITE, Rights(0), Shape.ROUND]
)
def test_a_name_leads_back_to_the_member(member: enum.Enum) -> None:
    assert member_of(type(member), member_name(member, "a")) == member


def test_no_member_has_another_name() -> None:
    assert member_of(Shape, "SQUARE") is None
    assert member_of(Rights, "READ|FLY") is None


def test_a_member_stands_as_its_value_where_that_is_plain() -> None:
    assert member_value(Shape.FLAT, (str,)) == "flat"
    assert member_value(Shape.ROUND, (str,)) == "ROUND"
