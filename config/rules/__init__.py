"""Rewrite rules: how what was saved by an older version reads in the next one."""

from typing import TYPE_CHECKING

from ..lazily import lazily

if TYPE_CHECKING:
    from .field_rules import (
        AddDefault,
        ChangeDefault,
        CheckValue,
        DeleteField,
        MapFieldValue,
        RejectValues,
        RenameField,
    )
    from .rewrite_rule import RewriteRule

__all__ = [
    "AddDefault",
    "ChangeDefault",
    "CheckValue",
    "DeleteField",
    "MapFieldValue",
    "RejectValues",
    "RenameField",
    "RewriteRule",
]

_HOME = dict.fromkeys(__all__, "field_rules") | {"RewriteRule": "rewrite_rule"}


# What is encoded has versions, and those have rules: the contract must not import the
# rules that encode.
__getattr__, __dir__ = lazily(__name__, _HOME)
