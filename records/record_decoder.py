"""RecordDecoder: stored nodes as values of declared fields, each checked on access."""

import dataclasses
import enum
import types
import typing
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import nn

from ..config.classes.field_types import FieldType, registered_type_of
from ..config.path import join
from ..config.plain.enums import member_of
from ..config.plain.node import Node
from ..config.process.interrupts import raise_of_signal
from ..config.short_text import quantity, with_article
from ..config.spelling import did_you_mean
from .entries.encoder import Storable, declares_fields
from .entries.entries import Entries, data_leaf, typed_leaf
from .entries.keys import key_of_text, name_of_key_hint
from .entries.nodes import (
    LEAVES,
    decode,
    escape,
    mismatch,
    node_name,
    record_in,
    tag_of,
)
from .entries.wrapped_tensors import make_wrapper
from .entries.wrapper_forms import Form, wrapper_in
from .errors import RecordMismatchError
from .field_hints import default_of, has_default, hints_of_fields
from .flat_record import FlatRecord, nested_record
from .special_types import MAKERS, exact_float, numpy_scalar
from .tensors.dtypes import can_require_grad
from .tensors.tensor_classes import allow_tensor_classes

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound=Storable)


def decode_record(cls: type[R], record: Entries) -> R:
    """Return ``record`` as a ``cls``; names are checked now, values later.

    Raises `RecordMismatchError` for unknown and missing fields.
    """
    file = record.reading.file
    if record.is_part:
        raise RecordMismatchError(
            file,
            [
                f"found some tensors of {with_article(record.type_name)}, expected all "
                "its fields"
            ],
            "Open it without only= and exclude=: a field is read only when it is "
            'accessed. Read a selected tensor by its path: record["path"].',
        )
    if not record.is_typed:
        raise RecordMismatchError(
            file,
            [
                "found the record of a module, expected "
                f"{with_article(cls.__qualname__)}"
            ],
            "Load it with from_record or load_record of the module."
            f"{_advice_beside(record.reading.optimizers)}",
        )
    return RecordDecoder(record).record(cls, record.tree, "")


def _advice_beside(optimizers: Sequence[str]) -> str:
    """Return how to read the states of optimizers that a file of torch has."""
    if not optimizers:
        return ""
    count = quantity(len(optimizers), "optimizer")
    return (
        f" The state of {count} is in the same file, and is loaded from there: "
        f"optimizer.load_state_dict({optimizers[0]})."
    )


class RecordDecoder:
    """Reads nodes of one record as values of a declared type.

    Errors are `RecordMismatchError`, and name the path of the node, or one below it.
    """

    def __init__(self, record: Entries) -> None:
        """Read nodes of ``record``."""
        self._record, self._file = record, record.reading.file
        self._by_name = False

    def record(self, cls: type[R], node: Node, path: str) -> R:
        """Return ``node`` as a ``cls``, whose fields are decoded on access."""
        named_fields = record_in(node)
        if named_fields is None:
            raise self._mismatch(path, node, cls.__qualname__)
        name, nodes = named_fields
        if self._by_name and name != cls.__qualname__:
            raise self._mismatch(path, node, cls.__qualname__)
        fields = {field.name: field for field in _fields_of(cls)}
        self._check_names(cls, fields, name, nodes, path)
        # A nested record has a declared class, so its name means nothing here.
        decoder = self._with(by_name=False) if self._by_name else self
        record = cls.__new__(cls)
        vars(record)["_metadata"] = self._record.metadata
        hints = hints_of_fields(cls)
        pending: dict[str, Callable[[], Any]] = {}
        for name, field in fields.items():
            if name in nodes:
                pending[name] = partial(
                    decoder.value, hints[name], nodes[name], join(path, name)
                )
            else:
                pending[name] = partial(default_of, field)
        vars(record)["_pending"] = pending
        return record

    def _with(self, *, by_name: bool) -> Self:
        """Return a copy that accepts only records of the class's own name, or any."""
        decoder = copy(self)
        decoder._by_name = by_name
        return decoder

    def value(self, hint: Any, node: Node, path: str) -> Any:
        """Return ``node`` as a value of type ``hint``."""
        if hint is Any:  # the declaration of most values of large records
            return self._undeclared(node, path)
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Annotated, typing.Final):
            return self.value(args[0], node, path)
        if origin in (typing.Union, types.UnionType):
            return self._union(args, node, path)
        if origin is typing.Literal:
            return self._literal(args, node, path)
        field_type = registered_type_of(origin or hint)
        if field_type is not None:
            return self._registered(origin or hint, field_type, node, path)
        tag, content = tag_of(node) if isinstance(node, dict) else (None, node)
        if isinstance(origin, type) and issubclass(origin, Storable):
            # The arguments of a generic record bind its type variables.
            hint = origin
        if isinstance(hint, type) and issubclass(hint, Storable):
            return self._storable(hint, node, path)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            member = member_of(hint, content) if tag == "$enum" else None
            if member is None:
                raise self._mismatch(path, node, f"a member of {hint.__qualname__}")
            return member
        return self._plain_value(hint, node, path)

    def _plain_value(self, hint: Any, node: Node, path: str) -> Any:
        """Return ``node`` as a container, as a scalar, or undeclared."""
        container, args = typing.get_origin(hint) or hint, typing.get_args(hint)
        tag, content = tag_of(node) if isinstance(node, dict) else (None, node)
        if typing.is_typeddict(container):
            return self._typed_dict(container, node, path)
        if isinstance(container, type) and issubclass(container, tuple | dict):
            make = MAKERS.get(container)
            if make is not None:
                return make(self.value(_plain_hint(container, args), node, path))
            if hasattr(container, "_fields"):
                return self._named_tuple(container, node, path)
        if container in (list, tuple, dict) and args:
            return self._container(container, args, node, path)
        concrete = _concrete(container, args, tag, content)
        if concrete is not None:
            return self.value(concrete, node, path)
        if hint in (Any, object, typing.Any) or isinstance(hint, TypeVar):
            return self._undeclared(node, path)
        if tag == "$enum":
            # Its name is not the member itself, even if that is a string.
            raise self._mismatch(path, node, _name_of_hint(hint))
        return self._scalar(hint, container, node, path)

    def _check_names(
        self,
        cls: type[Storable],
        fields: "dict[str, dataclasses.Field[Any]]",
        name: str,
        nodes: dict[str, Node],
        path: str,
    ) -> None:
        """Raise the error for fields that only the class or only the file has."""
        unknown = [field for field in nodes if field not in fields]
        missing = [
            field.name
            for field in fields.values()
            if field.name not in nodes and not has_default(field)
        ]
        if not unknown and not missing:
            return
        if len(unknown) == len(nodes) and missing and name != cls.__qualname__:
            found, expected = with_article(name), with_article(cls.__qualname__)
            problem = f"found {found}, expected {expected}"
            where = f"{path}: " if path else ""
            raise RecordMismatchError(
                self._file,
                [f"{where}{problem}, and no field is in both"],
                _OTHER_CLASS,
            )
        problems = [
            f"{join(path, field)}: stored in the {name}, but {cls.__qualname__} has no "
            f"such field.{did_you_mean(field, missing or fields)}"
            for field in unknown
        ] + [f"{join(path, field)}: missing in the stored {name}" for field in missing]
        raise RecordMismatchError(self._file, problems, _cure(cls, unknown, missing))

    def _storable(self, hint: type[Storable], node: Node, path: str) -> Storable:
        if declares_fields(hint):
            return self.record(hint, node, path)
        return self._nested(node, path)

    def _nested(self, node: Node, path: str) -> FlatRecord:
        return nested_record(node, self._record, path)

    def _leaf(self, tag: str, number: int) -> object:
        return typed_leaf(self._record, tag, number)

    def _undeclared(self, node: Node, path: str) -> Any:
        """Return ``node`` as an undeclared value."""
        leaf = partial(data_leaf, self._record)
        wrap = partial(_wrapper_at, path, self._file)
        return decode(node, leaf, wrap, partial(self._nested, path=path))

    def _registered(
        self, cls: type, field_type: FieldType, node: Node, path: str
    ) -> object:
        """Return a registered class's object for its data, of exactly that class."""
        data = self._undeclared(node, path)
        expected = f"the data of {with_article(cls.__qualname__)}"
        try:
            value = field_type.decode(data)
        except Exception as error:  # user code, called with data of a file
            raise_of_signal(error)
            problem = f"{node_name(node)} ({type(error).__name__}: {error!s:.200})"
            raise mismatch(self._file, path, problem, expected) from error
        if type(value) is not cls:
            name = with_article(type(value).__qualname__)
            problem = f"{node_name(node)} (decode returned {name})"
            raise mismatch(self._file, path, problem, expected)
        return value

    def _scalar(self, hint: object, container: object, node: Node, path: str) -> Any:
        """Return a value that is no container with declared items."""
        tag, content = tag_of(node) if isinstance(node, dict) else (None, node)
        if tag in LEAVES:
            value: Any = self._leaf(str(tag), content)
        elif wrapper := wrapper_in(node):
            value = self._wrapper(hint, wrapper[0], node, path)
        else:
            value = self._undeclared(node, path)
        if hint is float and type(value) is int:
            number = exact_float(value)
            value = value if number is None else number
        if hint is bytearray and isinstance(value, bytes):
            return bytearray(value)
        if hint is nn.Parameter and type(value) is torch.Tensor:
            return nn.Parameter(value, can_require_grad(value))
        if (
            isinstance(hint, type)
            and hint.__module__ == "numpy"
            and isinstance(value, bool | int | float)
        ):
            value = numpy_scalar(hint, value)
        expected = container if isinstance(container, type) else object
        # Python accepts a bool as an int, but a field declared as int does not.
        is_stray_bool = isinstance(value, bool) and expected not in (bool, object)
        if not isinstance(value, expected) or is_stray_bool:
            raise self._mismatch(path, node, _name_of_hint(hint))
        return value

    def _wrapper(self, hint: Any, form: Node, node: Node, path: str) -> torch.Tensor:
        """Return a wrapper tensor; declaring its class allows it."""
        is_declared = isinstance(hint, type) and issubclass(hint, torch.Tensor)
        with allow_tensor_classes(*[hint] if is_declared else []):
            tensor: torch.Tensor = self._undeclared(node, path)
        if hint is not nn.Parameter:
            return tensor
        is_trained = form["requires_grad"] is True and tensor.is_floating_point()
        return nn.Parameter(tensor, requires_grad=is_trained)

    def _literal(self, args: tuple[Any, ...], node: Node, path: str) -> Any:
        for arg in args:
            try:
                value = self.value(type(arg), node, path)
            except RecordMismatchError:
                continue
            if value == arg:
                return arg
        raise self._mismatch(path, node, f"one of {', '.join(map(repr, args))}")

    def _typed_dict(self, cls: Any, node: Node, path: str) -> dict[str, Any]:
        tag, content = tag_of(node) if isinstance(node, dict) else ("", node)
        items = dict(content) if tag in (None, "$dict") else None
        hints = typing.get_type_hints(cls)
        if items is None or not cls.__required_keys__ <= items.keys() <= hints.keys():
            keys = node_name(node) if items is None else f"the keys {sorted(items)}"
            expected = f"{with_article(cls.__name__)} of {sorted(hints)}"
            raise mismatch(self._file, path, keys, expected)
        return {
            key: self.value(hints[key], item, join(path, escape(key)))
            for key, item in items.items()
        }

    def _named_tuple(self, cls: Any, node: Node, path: str) -> Any:
        hints = typing.get_type_hints(cls)
        items = tuple(hints.get(name, Any) for name in cls._fields)
        return cls(*self._container(tuple, items, node, path))

    def _union(self, args: tuple[Any, ...], node: Node, path: str) -> Any:
        if node is None and type(None) in args:
            return None
        problems: list[RecordMismatchError] = []
        # Classes may have the same fields, and names may have changed since.
        for decoder in (self._with(by_name=True), self):
            problems.clear()
            for arg in args:
                if arg is type(None):
                    continue
                # An int is not a float where the union contains int, and vice versa.
                if arg is float and type(node) is int and int in args:
                    continue
                try:
                    return decoder.value(arg, node, path)
                except RecordMismatchError as problem:
                    problems.append(problem)
        if not problems:
            raise self._mismatch(path, node, "None")
        if len(problems) == 1:
            raise problems[0]
        raise self._mismatch(path, node, " or ".join(map(_name_of_hint, args)))

    def _container(
        self, kind: type[Any], args: tuple[Any, ...], node: Node, path: str
    ) -> Any:
        """Return a list, a tuple or a dict whose items ``args`` declare."""
        tag, content = tag_of(node) if isinstance(node, dict) else (None, node)
        if kind is dict:
            return self._dict(args, node, path)
        if (kind is tuple) != (tag == "$tuple") or not isinstance(content, list):
            raise self._mismatch(path, node, kind.__name__)
        if kind is list or args[-1] is Ellipsis:
            hints: list[Any] = [args[0]] * len(content)
        else:
            hints = list(args)
        if len(hints) != len(content):
            counts = quantity(len(content), "item"), quantity(len(hints), "item")
            raise mismatch(self._file, path, *counts)
        values = [
            self.value(hint, item, join(path, i))
            for i, (hint, item) in enumerate(zip(hints, content, strict=True))
        ]
        return values if kind is list else tuple(values)

    def _dict(self, hints: tuple[Any, ...], node: Node, path: str) -> dict[Any, Any]:
        tag, content = tag_of(node) if isinstance(node, dict) else ("", node)
        if tag not in (None, "$dict"):
            raise self._mismatch(path, node, "dict")
        key_hint, hint = hints
        pairs = content if tag == "$dict" else content.items()
        return {
            self._key(key_hint, text, path): self.value(
                hint, item, join(path, escape(text))
            )
            for text, item in pairs
        }

    def _key(self, hint: object, text: str, path: str) -> Any:
        if hint is str:
            return text
        try:
            return key_of_text(hint, text)
        except LookupError:
            expected = name_of_key_hint(hint)
            raise mismatch(self._file, path, f"the key {text!r}", expected) from None

    def _mismatch(self, path: str, node: Node, expected: str) -> RecordMismatchError:
        return mismatch(self._file, path, node_name(node), expected)


def _wrapper_at(
    place: str, file: str, form: Form, parts: Mapping[str, object], path: str
) -> torch.Tensor:
    """Return the wrapper tensor of the form at ``path`` in the value at ``place``."""
    return make_wrapper(form, parts, join(place, path) if path else place, file=file)


def _fields_of(cls: Any) -> "tuple[dataclasses.Field[Any], ...]":
    dataclass: type[DataclassInstance] = cls
    return dataclasses.fields(dataclass)


def _cure(cls: type[Storable], unknown: list[str], missing: list[str]) -> str:
    """Return advice about fields that only a file or only a class has."""
    cures: list[str] = []
    if missing:
        cures.append(
            f"Give {missing[0]!r} a default in {cls.__qualname__}, which older "
            "files then get."
        )
    if unknown:
        cures.append(_OTHER_CLASS)
    return " ".join(cures)


_OTHER_CLASS = (
    "Load it as the class that was saved, or read its content by name: "
    "burnish.open_record(file)."
)


def _plain_hint(container: type[Any], args: tuple[Any, ...]) -> Any:
    """Return the plain type in files of a special tuple or dict."""
    if container is torch.Size:
        return tuple[int, ...]
    if container is Counter:
        return dict.__class_getitem__((args[0] if args else str, int))
    return dict.__class_getitem__(args) if args else dict


def _concrete(
    container: Any, args: tuple[Any, ...], tag: str | None, content: Any
) -> Any:
    """Return the plain type in files of an abstract container.

    None unless it is an abstract container of declared items.
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


def _name_of_hint(hint: object) -> str:
    return getattr(hint, "__name__", str(hint))
