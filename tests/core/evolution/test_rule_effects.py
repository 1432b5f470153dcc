"""What rules do to a name, also those of users that change the entries themselves."""

from typing import Any

import pytest
import torch

from burnish.config import AddDefault, DeleteField, MapFieldValue, RenameField
from burnish.config.rewriting.rewrite_rule import RewriteRule
from burnish.core import MergeTensors, SplitTensor, TransposeTensor, UnstackTensor
from burnish.core.evolution.rule_effects import computes, concerns, names_after


class Swap(RewriteRule):
    """It moves entries without a word of it in ``rename``."""

    def apply_to_entries(self, entries: Any, derive: Any) -> dict[str, Any]:
        return {"b" if p == "a" else "a": entry for p, entry in entries.items()}


class Halve(RewriteRule):
    def apply_to_entries(self, entries: Any, derive: Any) -> dict[str, Any]:
        return {p: derive(e, lambda t: t / 2) for p, e in entries.items()}


class LooksForAnother(RewriteRule):
    def apply_to_entries(self, entries: Any, derive: Any) -> dict[str, Any]:
        return {**entries, "c": entries["b"]}


class NoneOfOurs:
    """A rule need not derive from ours."""

    def apply(self, tree: Any) -> None:
        pass

    def rename(self, path: str) -> str | None:
        return "b" if path == "a" else path


@pytest.mark.parametrize(
    ("rule", "names", "is_computed"),
    [
        (RenameField("a", "b"), ("b",), False),
        (DeleteField("a"), (), False),
        (AddDefault("a", 1), ("a",), False),
        (MapFieldValue("a", torch.neg), ("a",), True),
        (MapFieldValue("b", torch.neg), ("a",), False),
        (SplitTensor("a", ["b", "c"]), ("b", "c"), True),
        (MergeTensors(["a", "c"], "b"), ("b",), True),
        (TransposeTensor("a"), ("a",), True),
        (UnstackTensor("a", "b.*"), ("b.*",), True),
        (Swap(), ("b",), False),
        (Halve(), ("a",), True),
        (LooksForAnother(), ("a",), False),
        (NoneOfOurs(), ("b",), False),
    ],
)
def test_a_rule_is_asked_for_one_name(
    rule: Any, names: tuple[str, ...], is_computed: bool
) -> None:
    assert names_after(rule, "a") == names
    assert computes(rule, "a") is is_computed
    assert concerns(rule, "a") is (is_computed or names != ("a",))
