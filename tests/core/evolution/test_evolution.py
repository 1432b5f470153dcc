"""Records of older versions, and what they keep."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.config import RenameField, RewriteRule
from burnish.core import module, report_of

from .versions import attention_v2, define


def test_ties_and_buffers_survive_a_rename(tmp_path: Path) -> None:
    def old(self: Any) -> None:
        self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.norm = nn.BatchNorm1d(3)

    def new(self: Any) -> None:
        self.c, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.b.weight = self.c.weight
        self.bn = nn.BatchNorm1d(3)

    before = define(old)()
    before.norm.running_mean.fill_(5)
    before.save_record(tmp_path / "net.mpk")
    rules = {0: [RenameField("a", "c"), RenameField("norm", "bn")]}

    net = define(new, 1, rules).from_record(tmp_path / "net.mpk")

    assert net.b.weight is net.c.weight
    assert float(net.bn.running_mean[0]) == 5
    report = report_of(net)
    assert report is not None
    assert not report.missing_keys


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(TypeError, match="which is not a rule"):
        define(attention_v2, 1, {0: ["fc1 -> head"]})


class Shorter(RewriteRule):
    """A rule of a user's own: only the two methods of the contract."""

    def rename(self, path: str) -> str | None:
        return None if path.startswith("old.") else path.replace("fc1", "head")

    def apply(self, tree: Any) -> None:
        tree["width"] = tree.pop("size", 2)


def test_a_rule_of_ones_own_works_for_records_and_hyperparameters() -> None:
    class Before(nn.Module):
        def __init__(self, size: int = 2) -> None:
            super().__init__()
            self.fc1, self.old = nn.Linear(size, 2), nn.Linear(1, 1)

    class After(nn.Module):
        def __init__(self, width: int = 2) -> None:
            super().__init__()
            self.head = nn.Linear(width, 2)

    Before.__qualname__ = After.__qualname__ = "Shortened"
    old: Any = module(Before)(size=3)
    data = old.save_record()

    new: Any = module(version=1, upgrade_rules={0: [Shorter()]})(After)

    built = new.from_record(data)
    assert torch.equal(built.head.weight, old.fc1.weight)


@pytest.mark.parametrize("rules", [{0: [RenameField]}, {0: [object()]}, {0: 3}])
def test_what_is_no_rule_is_refused_when_the_class_is_decorated(rules: Any) -> None:
    with pytest.raises(TypeError, match="upgrade_rules"):
        define(lambda self: None, 1, rules)
