"""Classes of two versions, and their schemas."""

import copy
import enum
from collections.abc import Mapping, Sequence
from dataclasses import field, make_dataclass
from functools import partial
from typing import Any

import pytest

from burnish.config import (
    RenameField,
    RewriteRule,
    Versioned,
    schema_evolution_cli,
)
from burnish.config.schema import (
    SchemaChecker,
    schema_of,
)


class Old(enum.Enum):
    COINRUN = "CoinRun"
    STARPILOT = "StarPilot"
    MAZE = "MAZE"


class Renamed(enum.Enum):
    CR = "CoinRun"
    StarPilot = "StarPilot"
    MAZE = "MAZE"
    MINER = "Miner"


class Revalued(enum.Enum):
    COINRUN = "CoinRun"
    STARPILOT = "StarPilot"
    MAZE = "Maze"


def struct(*fields: tuple[Any, ...], version: int = 0, rules: Any = ()) -> Any:
    """Return a versioned dataclass of fields (name, type[, default])."""
    made = [
        (name, kind, field(default_factory=partial(copy.copy, default[0])))
        if default
        else (name, kind, field())
        for name, kind, *default in fields
    ]
    methods = {
        "version": classmethod(lambda cls: version),
        "upgrade_rules": classmethod(lambda cls: dict(rules)),
    }
    return make_dataclass(
        "Config", made, bases=(Versioned,), namespace=methods, kw_only=True
    )


def check(old: Any, new: Any) -> SchemaChecker:
    return SchemaChecker(schema_of(old), new)


OLD = struct(("lr", float), ("batch_size", int, 512))


FIXED = struct(
    ("learning_rate", float),
    ("batch_size", int, 512),
    version=1,
    rules={0: [RenameField("lr", "learning_rate")]},
)


def cli(cls: Any, *words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        schema_evolution_cli(cls, [str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


Rules = Mapping[int, Sequence[RewriteRule]]
