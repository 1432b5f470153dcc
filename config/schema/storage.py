"""Schemas in files, as readable RON that can be reviewed in a diff."""

import os
from pathlib import Path
from typing import Any

from ..encode import encode
from ..errors import ConfigError, Problem
from ..files import read_tree
from ..path import child
from ..rewriting import schema_types as t
from ..ron import read, write
from ..short_text import short_repr
from ..storage.replacement import write_text
from ..tree import NamedStruct, is_dict
from .derive import schema_of

_KINDS = {
    kind.__name__: kind
    for kind in (
        t.Primitive,
        t.Option,
        t.List,
        t.Dict,
        t.Tuple,
        t.Literal,
        t.Enum,
        t.Union,
        t.Struct,
        t.Ref,
        t.Field,
    )
}


def dump_schema(schema: t.Struct | type, file: str | os.PathLike[str]) -> None:
    """Write the schema of a class, or one from `schema_of`, to a ``.ron`` file."""
    struct = schema if isinstance(schema, t.Struct) else schema_of(schema)
    path = _schema_path(file)
    text = write(_without_usual(encode(struct))) + "\n"
    # The texts are compared, since NaN is unequal to itself.
    if repr(_decode(read(text), "")) != repr(struct):
        message = "this schema would be read as a different one: a default has no text"
        raise ConfigError(str(path), [Problem("", message)])
    write_text(path, text)


def load_schema(file: str | os.PathLike[str]) -> t.Struct:
    """Return the schema in a file that `dump_schema` wrote.

    Raises ConfigError for a file with other content.
    """
    path = _schema_path(file)
    tree, _ = read_tree(path)
    try:
        schema = _decode(tree, "")
    except ConfigError as error:
        raise ConfigError(str(path), error.problems) from None
    if not isinstance(schema, t.Struct):
        message = "not a schema: expected a Struct, as dump-schema writes it"
        raise ConfigError(str(path), [Problem("", message)])
    return schema


_USUAL = {("Struct", "is_open"): False, ("Field", "is_optional"): None}
"""The usual properties of structs and fields, which are not written."""


def _without_usual(tree: Any) -> Any:
    """Return ``tree`` without the properties in `_USUAL`."""
    if isinstance(tree, NamedStruct):
        items = {
            name: _without_usual(value)
            for name, value in tree.items()
            if (tree.name, name) not in _USUAL or value is not _USUAL[tree.name, name]
        }
        return NamedStruct(tree.name, items)
    if is_dict(tree):
        return {k: _without_usual(v) for k, v in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(map(_without_usual, tree))
    return tree


def _schema_path(file: str | os.PathLike[str]) -> Path:
    path = Path(os.fsdecode(file))
    if path.suffix.lower() != ".ron":
        raise ValueError(f"{path}: the name of a schema file must end in .ron")
    return path


def _decode(tree: Any, path: str) -> Any:
    if isinstance(tree, NamedStruct):
        return _make(tree, path)
    if is_dict(tree):
        return {k: _decode(item, child(path, k)) for k, item in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(_decode(item, child(path, i)) for i, item in enumerate(tree))
    return tree


def _make(tree: NamedStruct, path: str) -> Any:
    kind: Any = _KINDS.get(tree.name)
    if kind is None:
        kinds = ", ".join(_KINDS)
        message = f"unknown kind {short_repr(tree.name)}; expected one of {kinds}"
        raise ConfigError("", [Problem(path, message)])
    values = {name: _decode(item, child(path, name)) for name, item in tree.items()}
    try:
        instance = kind(**values)
    except TypeError as error:
        # A missing or unknown field: Python's message has its name, as for a call.
        message = str(error).replace("__init__()", tree.name)
        raise ConfigError("", [Problem(path, message)]) from None
    for name, part in values.items():
        _check_part(tree.name, name, part, path)
    return instance


def _check_part(kind: str, name: str, part: Any, path: str) -> None:
    """Raise ConfigError if a part of a type is not of its declared class."""
    if kind == "Field" and name == "type":
        fits = isinstance(part, t.Type)
    elif (kind, name) in _PARTS:
        expected, items = _PARTS[kind, name]
        nested_parts = part.values() if isinstance(part, dict) else part
        fits = isinstance(part, expected)
        fits = fits and (
            items is None or all(isinstance(i, items) for i in nested_parts)
        )
        # The keys of fields and variants are names.
        fits = fits and (expected is not dict or all(isinstance(k, str) for k in part))
    else:
        fits = True
    if not fits:
        message = f"{kind} has {short_repr(part, 40)} as its {name}"
        raise ConfigError("", [Problem(path, message)])


_PARTS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("Primitive", "type"): (str, None),
    ("Option", "type"): (t.Type, None),
    ("List", "inner"): (t.Type, None),
    ("List", "is_set"): (bool | None, None),
    ("Dict", "key"): (t.Type, None),
    ("Dict", "value"): (t.Type, None),
    ("Tuple", "items"): (tuple, t.Type),
    ("Union", "members"): (tuple, t.Type),
    ("Literal", "allowed_values"): (tuple, str | int | bytes | None),
    ("Enum", "name"): (str, None),
    ("Enum", "variants"): (dict, None),
    ("Struct", "name"): (str, None),
    ("Struct", "fields"): (dict, t.Field),
    ("Struct", "version"): (int | None, None),
    ("Struct", "is_open"): (bool, None),
    ("Ref", "name"): (str, None),
    ("Field", "name"): (str, None),
    ("Field", "docstring"): (str, None),
    ("Field", "has_default"): (bool, None),
    ("Field", "is_optional"): (bool | None, None),
}
"""The class of each part, and of each of its items if it has items."""
