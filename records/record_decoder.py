"""From a stored tree to a record with declared fields, each checked when touched."""

import dataclasses
import enum
import types
import typing
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from ..config.path import did_you_mean, join
from .declared import default_of, has_default, hints_of
from .enums import member_of
from .errors import RecordMismatchError
from .flat_record import FlatRecord
from .nested import nested_record
from .node_names import mismatch, name_of
from .nodes import LEAVES, Node, decode, escape, tag_of
from .record import Record
from .record_view import leaf_value
from .special_types import MAKERS, exact_float, numpy_scalar

R = TypeVar("R", bound=Record)


def build(cls: type[R], flat: FlatRecord) -> R:
    """Return ``flat`` as a ``cls``; names of fields are checked now, values later.

    Raises `RecordMismatchError` for unknown and missing fields.
    """
    file = flat.reading.file
    if flat.is_part:
        raise RecordMismatchError(
            file,
            [f"found some tensors of a {flat.type_name}, expected all its fields"],
            "Open it without only= and exclude=: each field is read when it is "
            'touched. What was chosen is read by its path, as record["path"].',
        )
    if not flat.is_typed:
        raise RecordMismatchError(
            file,
            [f"found the record of a module, expected a {cls.__qualname__}"],
            "Load it with from_record or load_record of the module.",
        )
    return _record(cls, flat.tree, flat, file, "")


def _record(cls: type[R], node: Node, flat: FlatRecord, file: str, path: str) -> R:
    tag, content = tag_of(node)
    if tag != "$record":
        raise mismatch(file, path, name_of(node), cls.__qualname__)
    name, nodes = content
    declared = {field.name: field for field in dataclasses.fields(cls)}
    unknown = [f for f in nodes if f not in declared]
    missing = [
        f.name for f in declared.values() if f.name not in nodes and not has_default(f)
    ]
    if unknown or missing:
        problems = [
            f"{join(path, f)}: stored in the {name}, but {cls.__qualname__} has no "
            f"such field.{did_you_mean(f, missing or declared)}"
            for f in unknown
        ] + [f"{join(path, f)}: missing in the stored {name}" for f in missing]
        raise RecordMismatchError(file, problems, _cure(cls, unknown, missing))
    made = cls.__new__(cls)
    made.__dict__["_metadata"] = flat.metadata
    hints = hints_of(cls)
    pending: dict[str, Callable[[], Any]] = {}
    for field in declared.values():
        if field.name not in nodes:
            pending[field.name] = partial(default_of, field)
            continue
        pending[field.name] = partial(
            value_of,
            hints[field.name],
            nodes[field.name],
            flat,
            file,
            join(path, field.name),
        )
    made.__dict__["_pending"] = pending
    return made


def _cure(cls: type[Record], unknown: list[str], missing: list[str]) -> str:
    """Return what to do about fields that a file and a class do not share."""
    cures: list[str] = []
    if missing:
        cures.append(
            f"Give {missing[0]!r} a default in {cls.__qualname__}, which stands in for "
            "it in older files."
        )
    if unknown:
        cures.append(
            "Load it as the class that was saved, or read what is there by name: "
            "burnish.open_record(file)."
        )
    return " ".join(cures)


def value_of(hint: Any, node: Node, flat: FlatRecord, file: str, path: str) -> Any:
    """Return ``node`` as what ``hint`` declares.

    Raises `RecordMismatchError` that names ``path``, or a path below it.
    """

    def leaf(tag: str, number: int) -> object:
        return leaf_value(flat.entries(), tag, number)

    def record(inner: Node) -> FlatRecord:
        return nested_record(inner, flat, file, path)

    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Annotated, typing.Final):
        return value_of(args[0], node, flat, file, path)
    if origin in (typing.Union, types.UnionType):
        return _union(args, node, flat, file, path)
    if origin is typing.Literal:
        return _literal(args, node, flat, file, path)
    tag, content = tag_of(node) if isinstance(node, dict) else (None, node)
    if isinstance(origin, type) and issubclass(origin, Record):
        # The arguments of a generic record are those of its type variables.
        hint = origin
    if isinstance(hint, type) and issubclass(hint, Record):
        if hint is Record or issubclass(hint, FlatRecord):
            return nested_record(node, flat, file, path)
        return _record(hint, node, flat, file, path)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        member = member_of(hint, content) if tag == "$enum" else None
        if member is None:
            raise mismatch(
                file, path, name_of(node), f"a member of {hint.__qualname__}"
            )
        return member
    container = origin or hint
    if typing.is_typeddict(container):
        return _typed_dict(container, node, flat, file, path)
    if isinstance(container, type) and issubclass(container, tuple | dict):
        make = MAKERS.get(container)
        if make is not None:
            plain: Any = dict.__class_getitem__(args) if args else dict
            if container is torch.Size:
                plain = tuple[int, ...]
            elif container is Counter:
                plain = dict[str, int]
            return make(value_of(plain, node, flat, file, path))
        if hasattr(container, "_fields"):
            return _named_tuple(container, node, flat, file, path)
    if container in (list, tuple, dict) and args:
        return _container(container, args, node, flat, file, path)
    concrete = _concrete(container, args, tag, content)
    if concrete is not None:
        return value_of(concrete, node, flat, file, path)
    if hint in (Any, object, typing.Any) or isinstance(hint, TypeVar):
        return decode(node, leaf, record)
    if tag == "$enum":
        # Its name is another value than the member, also where that is a text.
        raise mismatch(file, path, name_of(node), getattr(hint, "__name__", str(hint)))
    value = decode(node, leaf, record) if tag not in LEAVES else leaf(str(tag), content)
    if hint is float and type(value) is int:
        number = exact_float(value)
        value = value if number is None else number
    if hint is bytearray and isinstance(value, bytes):
        return bytearray(value)
    if hint is nn.Parameter and type(value) is torch.Tensor:
        return nn.Parameter(value, value.is_floating_point() or value.is_complex())
    if (
        isinstance(hint, type)
        and hint.__module__ == "numpy"
        and isinstance(value, bool | int | float)
    ):
        value = numpy_scalar(hint, value)
    expected = container if isinstance(container, type) else object
    wrong_bool = (
        isinstance(value, bool) and expected is not bool and expected is not object
    )
    if not isinstance(value, expected) or wrong_bool:
        raise mismatch(file, path, name_of(node), getattr(hint, "__name__", str(hint)))
    return value


def _concrete(container: Any, args: Any, tag: str | None, content: Any) -> Any:
    """Return what an abstract container is in the file, of the same items.

    None for what is no abstract container of declared items.
    """
    if not args or getattr(container, "__module__", "") != "collections.abc":
        return None
    if tag == "$tuple" and issubclass(tuple, container):
        return types.GenericAlias(tuple, (args[0], ...))
    if tag is None and isinstance(content, list) and issubclass(list, container):
        return types.GenericAlias(list, args)
    is_dict = tag == "$dict" or (tag is None and isinstance(content, dict))
    if is_dict and len(args) == 2 and issubclass(dict, container):
        return types.GenericAlias(dict, args)
    return None


def _literal(args: Any, node: Node, flat: FlatRecord, file: str, path: str) -> Any:
    for arg in args:
        try:
            value = value_of(type(arg), node, flat, file, path)
        except RecordMismatchError:
            continue
        if value == arg:
            return arg
    raise mismatch(file, path, name_of(node), f"one of {', '.join(map(repr, args))}")


def _typed_dict(
    cls: Any, node: Node, flat: FlatRecord, file: str, path: str
) -> dict[str, Any]:
    tag, content = tag_of(node) if isinstance(node, dict) else ("", node)
    items = dict(content) if tag in (None, "$dict") else None
    hints = typing.get_type_hints(cls)
    if items is None or not cls.__required_keys__ <= items.keys() <= hints.keys():
        keys = name_of(node) if items is None else f"the keys {sorted(items)}"
        raise mismatch(file, path, keys, f"a {cls.__name__} of {sorted(hints)}")
    return {
        key: value_of(hints[key], item, flat, file, join(path, escape(key)))
        for key, item in items.items()
    }


def _named_tuple(cls: Any, node: Node, flat: FlatRecord, file: str, path: str) -> Any:
    hints = typing.get_type_hints(cls)
    declared = tuple(hints.get(name, Any) for name in cls._fields)
    return cls(*_container(tuple, declared, node, flat, file, path))


def _union(args: Any, node: Node, flat: FlatRecord, file: str, path: str) -> Any:
    if node is None and type(None) in args:
        return None
    problems: list[RecordMismatchError] = []
    for arg in args:
        if arg is type(None):
            continue
        # An int is no float where the union knows int, and the reverse.
        if arg is float and type(node) is int and int in args:
            continue
        try:
            return value_of(arg, node, flat, file, path)
        except RecordMismatchError as problem:
            problems.append(problem)
    if not problems:
        raise mismatch(file, path, name_of(node), "None")
    if len(problems) == 1:
        raise problems[0]
    names = " or ".join(getattr(arg, "__name__", str(arg)) for arg in args)
    raise mismatch(file, path, name_of(node), names)


def _container(
    kind: Any, args: Any, node: Node, flat: FlatRecord, file: str, path: str
) -> Any:
    tag, content = tag_of(node) if isinstance(node, dict) else (None, node)
    if kind is dict:
        pairs = (
            content
            if tag == "$dict"
            else list(content.items())
            if isinstance(content, dict) and tag is None
            else None
        )
        if pairs is None:
            raise mismatch(file, path, name_of(node), "dict")
        return {
            key: value_of(args[1], item, flat, file, join(path, escape(key)))
            for key, item in pairs
        }
    if (kind is tuple) != (tag == "$tuple") or not isinstance(content, list):
        raise mismatch(file, path, name_of(node), kind.__name__)
    if kind is list or args[-1] is Ellipsis:
        hints: list[Any] = [args[0]] * len(content)
    else:
        hints = list(args)
    if len(hints) != len(content):
        raise mismatch(file, path, f"{len(content)} items", f"{len(hints)} items")
    values = [
        value_of(hint, item, flat, file, join(path, i))
        for i, (hint, item) in enumerate(zip(hints, content, strict=True))
    ]
    return values if kind is list else tuple(values)
