"""The version of a class and the rules to it are checked when they are stated."""

from typing import Any

import pytest
from torch import nn

import burnish
from burnish.config import DeleteField, RenameField
from burnish.core.modules.versions import new_path, rules_of, version_of
from burnish.records import RecordError


@burnish.module(version=2, upgrade_rules={1: [RenameField("a", "b")]})
class Second(nn.Module):
    pass


def test_a_class_without_a_version_is_of_version_0() -> None:
    assert version_of(nn.Linear) == 0
    assert rules_of(nn.Linear) == {}
    assert version_of(Second) == 2
    assert list(rules_of(Second)) == [1]


def test_a_rule_of_a_user_that_names_nothing_is_refused_with_the_path() -> None:
    class Emptying(RenameField):
        def rename(self, path: str) -> str | None:
            return ""

    with pytest.raises(RecordError, match=r"layer\.weight"):
        new_path(Emptying("a", "b"), "layer.weight")
    assert new_path(RenameField("a", "b"), "a.weight") == "b.weight"


def test_rules_that_begin_where_those_of_the_parent_end_follow_them() -> None:
    @burnish.module(version=4, upgrade_rules={2: [RenameField("c", "d")]})
    class Follows(Second):
        pass

    assert rules_of(Follows) == {
        1: [RenameField("a", "b")],
        2: [RenameField("c", "d")],
    }


def test_a_subclass_may_repeat_the_rules_of_its_parent_where_they_belong() -> None:
    rules: dict[int, list[Any]] = {
        0: [DeleteField("c")],
        2: [RenameField("a", "b")],
    }

    @burnish.module(version=3, upgrade_rules=rules)
    class Repeats(Second):
        pass

    assert rules_of(Repeats) == rules


@pytest.mark.parametrize(
    ("version", "rules"),
    [
        (1, {}),
        (2, {}),
        (2, {1: [DeleteField("c")]}),
        (3, {0: []}),
        (4, {}),
        (4, {3: [DeleteField("c")]}),
    ],
)
def test_a_version_that_loses_the_rules_of_the_parent_is_refused(
    version: int, rules: Any
) -> None:
    """A rule lost was silent: a tensor that the parent transposes came as it was."""
    with pytest.raises(ValueError, match=r"without RenameField.* of its parent Second"):

        @burnish.module(version=version, upgrade_rules=rules)
        class Loses(Second):  # pyright: ignore[reportUnusedClass]
            pass


@pytest.mark.parametrize(
    "rules",
    [
        {2: [DeleteField("c")]},
        {2: [], 3: [DeleteField("c")]},
        {3: [RenameField("a", "b")]},
    ],
)
def test_a_parent_that_is_raised_later_is_seen(rules: Any) -> None:
    """Its new rule seemed to come before records that never met it."""

    def subclass(parent: Any) -> Any:
        return burnish.module(version=4, upgrade_rules=rules)(
            type("Subclass", (parent,), {})
        )

    def parent(version: int, more: dict[int, Any]) -> Any:
        parent_rules = {1: [RenameField("a", "b")], **more}
        return burnish.module(version=version, upgrade_rules=parent_rules)(
            type("Parent", (nn.Module,), {})
        )

    subclass(parent(2, {}))
    with pytest.raises(ValueError, match=r"without RenameField.* of its parent Parent"):
        subclass(parent(3, {2: [RenameField("c", "d")]}))


def test_a_subclass_of_a_parent_without_rules_begins_at_its_version() -> None:
    @burnish.module
    class Plain(nn.Module):
        pass

    class Below(Plain):
        pass

    rules = [DeleteField("c")]
    with pytest.raises(
        ValueError, match=r"begin at version 1, .*Plain is at version 0"
    ):
        burnish.module(version=2, upgrade_rules={1: rules})(Below)
    assert rules_of(
        burnish.module(version=2, upgrade_rules={0: [], 1: rules})(Below)
    ) == {0: [], 1: rules}


def test_a_subclass_of_what_cannot_have_rules_may_begin_anywhere() -> None:
    rules = {3: [DeleteField("c")]}

    class OfOurs(burnish.Module, version=4, upgrade_rules=rules):
        pass

    of_torch = burnish.module(version=4, upgrade_rules=rules)(
        type("OfTorch", (nn.Linear,), {})
    )
    assert rules_of(OfOurs) == rules_of(of_torch) == rules


def test_a_class_of_two_parents_with_rules_states_which_it_has() -> None:
    @burnish.module(version=1, upgrade_rules={0: [DeleteField("c")]})
    class Mixin(nn.Module):
        pass

    class Both(Mixin, Second):
        pass

    with pytest.raises(ValueError, match=r"rules of its parent .*Mixin, so"):
        version_of(Both)
    with pytest.raises(ValueError, match=r"rules of its parent .*Mixin, so"):
        burnish.module(Both)

    rules = {0: [RenameField("a", "b"), DeleteField("c")]}
    assert rules_of(burnish.module(version=1, upgrade_rules=rules)(Both)) == rules


def test_a_parent_without_a_version_hides_none_of_another() -> None:
    @burnish.module
    class Plain(nn.Module):
        pass

    @burnish.module
    class Both(Plain, Second):
        pass

    assert version_of(Both) == 2
    assert rules_of(Both) == rules_of(Second)
