"""Changed arguments of constructors, and rules for them."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from burnish import save_record
from burnish.config import RenameField
from burnish.core import module
from burnish.core.evolution.record_check import (
    RecordChecker,
)
from burnish.core.evolution.record_schema import dump_schema, load_schema


def of_arguments(init: Any, **options: Any) -> Any:
    """Return a decorated class with one layer and this constructor."""

    class Model(nn.Module):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            self.lin = nn.Linear(2, 2)

    Model.__init__.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]  # what it takes
    return module(**options)(Model)


def takes_width(self: Any, width: int = 2, rate: float = 0.1) -> None: ...


def takes_dim(self: Any, dim: int = 2, rate: float = 0.1) -> None: ...


def takes_rate(self: Any, rate: float = 0.1) -> None: ...


def needs_depth(self: Any, depth: int, width: int = 2, rate: float = 0.1) -> None: ...


def takes_depth(self: Any, width: int = 2, rate: float = 0.1, n: int = 1) -> None: ...


def takes_lin(self: Any, lin: int = 2, rate: float = 0.1) -> None: ...


def takes_rate_and_any(self: Any, rate: float = 0.1, **named: Any) -> None: ...


def takes_any(self: Any, **named: Any) -> None: ...


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (takes_width, takes_dim, "argument renamed to dim: width"),
        (takes_width, takes_rate, "argument removed: width"),
        (takes_width, needs_depth, "new argument without a default"),
        (takes_lin, takes_rate, "argument removed, but a part has its name: lin"),
        (takes_width, takes_depth, ""),
        (takes_width, takes_any, "argument now collected by **named: width"),
        (takes_rate_and_any, takes_rate, "argument removed: named"),
        (takes_rate, takes_rate_and_any, ""),
        (takes_width, takes_width, ""),
    ],
)
def test_arguments_that_a_class_no_longer_takes_or_newly_needs_are_found(
    old: Any, new: Any, line: str, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    dump_schema(of_arguments(old), file)

    checker = RecordChecker(load_schema(file), of_arguments(new))

    assert checker.compatible is not bool(line)
    assert line in checker.report()


def test_the_proposed_rules_for_arguments_let_older_records_load(
    tmp_path: Path,
) -> None:
    file = tmp_path / "schema.json"
    before = of_arguments(takes_width)
    dump_schema(before, file)
    data = before(width=3).save_record()
    rules = RecordChecker(load_schema(file), of_arguments(takes_dim)).proposed_rules

    after = of_arguments(takes_dim, version=1, upgrade_rules={0: rules})

    assert rules == [RenameField("width", "dim")]
    assert RecordChecker(load_schema(file), after).compatible
    assert after.from_record(data).hparams.dim == 3


def test_a_schema_without_arguments_says_nothing_of_them(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    dump_schema(of_arguments(takes_width), file)
    told = json.loads(file.read_text())
    del told["arguments"]
    file.write_text(json.dumps(told))

    assert RecordChecker(load_schema(file), of_arguments(takes_dim)).compatible


def test_an_argument_goes_into_the_keywords_by_the_rule_that_is_proposed(
    tmp_path: Path,
) -> None:
    class Old(nn.Module):
        def __init__(self, width: int = 2) -> None:
            super().__init__()
            self.lin = nn.Linear(width, width)

    class New(nn.Module):
        def __init__(self, **named: Any) -> None:
            super().__init__()
            width = named.get("width", 2)
            self.lin = nn.Linear(width, width)

    old = module(name="tests/keywords")(Old)
    dump_schema(old, tmp_path / "schema.json")
    data = save_record(old(3))
    rules = [RenameField("width", "named.width")]
    new = module(name="tests/keywords", version=1, upgrade_rules={0: rules})(New)

    restored: Any = new.from_record(data)  # type: ignore[attr-defined]  # decorated

    assert restored.lin.in_features == 3
    assert RecordChecker(load_schema(tmp_path / "schema.json"), new).compatible
