"""The version of a class and the rules to it are checked when they are stated."""

from typing import Any

import pytest
from torch import nn

import burnish
from burnish.config import RenameField
from burnish.core.modules.versions import check_rules, new_path, rules_of, version_of
from burnish.records import RecordError


@burnish.module(version=2, upgrade_rules={1: [RenameField("a", "b")]})
class Second(nn.Module):
    pass


def test_a_class_without_a_version_is_of_version_0() -> None:
    assert version_of(nn.Linear) == 0
    assert rules_of(nn.Linear) == {}
    assert version_of(Second) == 2
    assert list(rules_of(Second)) == [1]


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({2: []}, ValueError, "rules for version 2, but the class is at version 2"),
        ({0: RenameField("a", "b")}, TypeError, "must be a list of rules"),
        ({0: [RenameField]}, TypeError, "which is not a rule"),
        ({0: ["a -> b"]}, TypeError, "which is not a rule"),
    ],
)
def test_what_is_no_rule_to_a_version_is_refused(
    rules: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_rules(Second, 2, rules)


def test_a_rule_of_a_user_that_names_nothing_is_refused_with_the_path() -> None:
    class Emptying(RenameField):
        def rename(self, path: str) -> str | None:
            return ""

    with pytest.raises(RecordError, match=r"layer\.weight"):
        new_path(Emptying("a", "b"), "layer.weight")
    assert new_path(RenameField("a", "b"), "a.weight") == "b.weight"
