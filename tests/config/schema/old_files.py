"""Old classes and the files that they wrote."""

from dataclasses import dataclass, field, make_dataclass
from typing import Any

from burnish.config import (
    Versioned,
)
from burnish.config.schema import (
    SchemaChecker,
    schema_of,
)


def config(annotation: Any, default: Any = None, rules: Any = None) -> Any:
    """Return a versioned dataclass with one field ``x``, or more with ``rules``."""
    made = field() if default is None else field(default_factory=default)
    methods = {
        "version": classmethod(lambda cls: 0 if rules is None else 1),
        "upgrade_rules": classmethod(lambda cls: {0: rules} if rules else {}),
    }
    return make_dataclass(
        "Config", [("x", annotation, made)], bases=(Versioned,), namespace=methods
    )


def check(old: Any, new: Any) -> SchemaChecker:
    return SchemaChecker(schema_of(old), new)


@dataclass
class OldIn:
    x: int = 0
