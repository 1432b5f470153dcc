"""Patterns of stored edits mean the parts that they meant, under the names of now."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from torch import nn

from burnish import module
from burnish.config import DeleteField, RenameField
from burnish.config.rewriting.rewrite_rule import RewriteRule
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import FormatError


def net(
    *names: str,
    stack: str = "blocks",
    rules: Sequence[RewriteRule] = (),
    net_rules: Sequence[RewriteRule] = (),
    extra: str = "",
) -> Any:
    """Return a class of blocks, each with parts of ``names``, which may be nested."""

    def versions(rules: Sequence[RewriteRule]) -> Any:
        return {"version": 1, "upgrade_rules": {0: [*rules]}} if rules else {}

    @module(name="tests/carried_patterns/block", **versions(rules))
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in names:
                owner: nn.Module = self
                *owners, last = name.split(".")
                for owner_name in owners:
                    owner.add_module(owner_name, nn.Module())
                    owner = owner.get_submodule(owner_name)
                owner.add_module(last, nn.ReLU())

    @module(name="tests/carried_patterns/net", **versions(net_rules))
    class Net(nn.Module):
        def __init__(self, depth: int = 2) -> None:
            super().__init__()
            self.add_module(stack, nn.ModuleList(Block() for _ in range(depth)))
            if extra:
                self.add_module(extra, nn.ReLU())

    return Net


def tanhs(cls: Any, pattern: str, new_cls: Any, **more: Any) -> list[str]:
    """Return what is a Tanh in a ``new_cls`` where a ``cls`` had them at a pattern."""
    bp = Blueprint(cls).configure(pattern, nn.Tanh)
    if more:
        bp.configure(**more)
    data = json.loads(json.dumps(bp.to_dict()))

    reopened = Blueprint.from_dict(data, new_cls).create()

    return [n for n, m in reopened.named_modules() if isinstance(m, nn.Tanh)]


RENAMED = net("lin", "activation", rules=[RenameField("act", "activation")])


@pytest.mark.parametrize(
    "pattern", ["**.act", "blocks.*.act", "*.*.act", "**.{act,none}", "blocks.**.a*"]
)
def test_a_pattern_follows_the_rules_of_the_parts_that_it_means(pattern: str) -> None:
    paths = tanhs(net("lin", "act"), pattern, RENAMED)

    assert paths == ["blocks.0.activation", "blocks.1.activation"]


def test_a_pattern_that_was_carried_over_holds_for_parts_that_come_later() -> None:
    assert len(tanhs(net("lin", "act"), "**.act", RENAMED, depth=4)) == 4


@pytest.mark.parametrize("pattern", ["blocks.*.act", "b*.*.act", "**.act"])
def test_a_pattern_follows_the_rules_of_the_whole(pattern: str) -> None:
    renamed = net(
        "lin", "act", stack="layers", net_rules=[RenameField("blocks", "layers")]
    )

    paths = tanhs(net("lin", "act"), pattern, renamed)

    assert paths == ["layers.0.act", "layers.1.act"]


def test_names_that_swap_swap_in_patterns() -> None:
    swap = [RenameField("a", "t"), RenameField("b", "a"), RenameField("t", "b")]

    paths = tanhs(net("a", "b"), "**.a", net("a", "b", rules=swap))

    assert paths == ["blocks.0.b", "blocks.1.b"]


def test_a_pattern_follows_a_part_into_another_one() -> None:
    nested = net("lin", "post.act", rules=[RenameField("act", "post.act")])

    paths = tanhs(net("lin", "act"), "blocks.*.act", nested)

    assert paths == ["blocks.0.post.act", "blocks.1.post.act"]


def test_a_part_that_has_got_the_old_name_since_is_not_meant() -> None:
    rules = [RenameField("act", "activation")]

    paths = tanhs(net("act"), "**.act", net("activation", "act", rules=rules))

    assert paths == ["blocks.0.activation", "blocks.1.activation"]


def test_a_pattern_of_parts_that_a_rule_removed_is_left_out() -> None:
    gone = net("lin", rules=[DeleteField("act")])

    assert tanhs(net("lin", "act"), "blocks.*.act", gone) == []


def test_what_one_pattern_meant_in_several_classes_may_have_several_names() -> None:
    new = net("activation", rules=[RenameField("act", "activation")], extra="act")

    paths = tanhs(net("act", extra="act"), "**.act", new)

    assert paths == ["blocks.0.activation", "blocks.1.activation", "act"]


def test_a_pattern_that_would_mean_other_parts_too_is_refused() -> None:
    new = net(
        "activation", rules=[RenameField("act", "activation")], extra="activation"
    )

    with pytest.raises(FormatError, match=r"it meant blocks\.0\.activation.* other"):
        tanhs(net("act", extra="activation"), "**.act", new)
