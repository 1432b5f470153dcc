"""Schemas in files, as RON that a person can read and a review can show."""

import os
from pathlib import Path
from typing import Any

from ..encode import encode
from ..errors import ConfigError, Problem
from ..files import read_tree, write_text
from ..path import child
from ..ron import write
from ..tree import Struct, is_dict
from . import types as t
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
    """Write the schema of a class, or one that `schema_of` gave, to a ``.ron`` file."""
    struct = schema if isinstance(schema, t.Struct) else schema_of(schema)
    path = _checked(file)
    write_text(path, write(encode(struct)) + "\n")


def load_schema(file: str | os.PathLike[str]) -> t.Struct:
    """Return the schema in a file that `dump_schema` wrote.

    Raises ConfigError for a file that holds something else.
    """
    path = _checked(file)
    tree, _ = read_tree(path)
    try:
        schema = _decode(tree, "")
    except ConfigError as wrong:
        raise ConfigError(str(path), wrong.problems) from None
    if not isinstance(schema, t.Struct):
        message = "not a schema: expected a Struct, as dump-schema writes it"
        raise ConfigError(str(path), [Problem("", message)])
    return schema


def _checked(file: str | os.PathLike[str]) -> Path:
    path = Path(file)
    if path.suffix.lower() != ".ron":
        raise ValueError(f"{path}: a schema's file ends in .ron")
    return path


def _decode(tree: Any, path: str) -> Any:
    if isinstance(tree, Struct):
        return _make(tree, path)
    if is_dict(tree):
        return {k: _decode(item, child(path, k)) for k, item in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(_decode(item, child(path, i)) for i, item in enumerate(tree))
    return tree


def _make(tree: Struct, path: str) -> Any:
    kind: Any = _KINDS.get(tree.name)
    if kind is None:
        message = f"unknown kind {tree.name!r}; known are {', '.join(_KINDS)}"
        raise ConfigError("", [Problem(path, message)])
    values = {name: _decode(item, child(path, name)) for name, item in tree.items()}
    try:
        made = kind(**values)
    except TypeError as wrong:
        message = str(wrong).replace("__init__()", tree.name)
        raise ConfigError("", [Problem(path, message)]) from None
    _check_parts(made, path)
    return made


def _check_parts(made: Any, path: str) -> None:
    """Raise ConfigError if a part that must be a type or a field is something else."""
    inner: list[Any] = []
    match made:
        case t.Field(_, inner_type) | t.Option(inner_type) | t.List(inner_type):
            inner = [inner_type]
        case t.Dict(key, value):
            inner = [key, value]
        case t.Tuple(items) | t.Union(items):
            inner = list(items)
        case t.Struct(_, fields):
            wrong = [f for f in fields.values() if not isinstance(f, t.Field)]  # pyright: ignore[reportUnnecessaryIsInstance]  # from a file
            inner = wrong
        case _:
            pass
    bad = next((part for part in inner if not isinstance(part, t.Type)), None)
    if bad is not None or (isinstance(made, t.Struct) and inner):
        message = f"{type(made).__name__} holds {bad!r:.40}, which is no type"
        raise ConfigError("", [Problem(path, message)])
