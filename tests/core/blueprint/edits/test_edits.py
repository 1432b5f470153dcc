import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.edits.edits import (
    ChangeItems,
    SetArguments,
    Target,
    name_in_dict,
    with_replacements,
)


@pytest.mark.parametrize(
    ("prefix", "target", "expected"),
    [
        ("head", "", ["head"]),
        ("head", "layers.0", ["head.layers.0"]),
        ("", ("a", "b"), [("a", "b")]),
        (("x", "y"), ("a", "b"), [("x.a", "x.b", "y.a", "y.b")]),
        ("x.*", ("a", "b"), ["x.*.a", "x.*.b"]),
    ],
)
def test_an_edit_of_a_blueprint_that_moves_under_a_path_moves_its_target(
    prefix: Target, target: Target, expected: list[Target]
) -> None:
    edits = SetArguments(target=target, arguments={"a": 1}).moved_under(prefix)

    assert [edit.target for edit in edits] == expected


def test_edits_are_replaced_by_identity_though_they_say_the_same() -> None:
    first, second, third = (SetArguments(target="a") for _ in range(3))

    edits = with_replacements(
        [first, second, third], {id(first): third, id(second): None}
    )

    assert [edit is third for edit in edits] == [True, True]


@pytest.mark.parametrize(
    ("key", "kind", "expected"),
    [
        ("b", "insert", "b"),
        (0, "remove", "0"),
        (-1, "remove", "c"),
        (-1, "insert", None),
        (7, "remove", None),
    ],
)
def test_a_key_of_a_dict_of_modules_is_a_name_or_the_last(
    key: int | str, kind: str, expected: str | None
) -> None:
    change = ChangeItems(target="", kind=kind, key=key)  # type: ignore[arg-type]  # one of both

    assert name_in_dict(change, ["0", "a", "c"]) == expected


def test_an_edit_says_what_it_asks_for_on_one_line() -> None:
    edits = [
        SetArguments(target="", cls=nn.ELU, arguments={"alpha": 2.0}),
        ChangeItems(target="", kind="insert", key=0, item=Blueprint(nn.ReLU)),
        ChangeItems(target="", kind="remove", key="a"),
    ]

    assert list(map(str, edits)) == ["ELU, alpha=2.0", "insert 0: ReLU()", "remove 'a'"]
