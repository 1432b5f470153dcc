"""Schemas of configurations: storage, comparison, and the rules for changes."""

from .change import Change, Severity
from .checker import SchemaChecker, assert_compatible
from .derive import schema_of, type_of
from .storage import dump_schema, load_schema

__all__ = [
    "Change",
    "SchemaChecker",
    "Severity",
    "assert_compatible",
    "dump_schema",
    "load_schema",
    "schema_of",
    "type_of",
]
