"""The fields that a record declares, checked before its first byte is written.

A value that its class could not load is not saved: the reader itself decides.
"""

import enum
import typing
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from ..config.classes.declared_types import members
from ..config.classes.field_types import registered_type_of
from ..config.path import join
from ..config.plain.node import Node
from ..config.short_text import with_article
from .entries.encoder import (
    UNDECLARED_ENUM,
    UNDECLARED_TYPE,
    Encoder,
    Storable,
    declares_fields,
    is_trained,
)
from .entries.entries import Entries
from .entries.entry import Entry
from .entries.keys import check_text_key, key_of_text
from .entries.nodes import entry_numbers, escape
from .errors import RecordMismatchError
from .field_hints import hints_of_fields
from .record_decoder import RecordDecoder
from .tensors.tensor_classes import allow_tensor_classes, is_wrapper


def _kinds_of(cls: type[Storable]) -> dict[str, frozenset[Any]]:
    """Return the plain types, which each field accepts unchanged."""
    kinds: dict[str, frozenset[Any]] | None = cls.__dict__.get(_KINDS)
    if kinds is None:
        kinds = {
            name: _PLAIN.intersection(members(hint))
            for name, hint in hints_of_fields(cls).items()
        }
        setattr(cls, _KINDS, kinds)
    return kinds


class Declared:
    """Compares the values of one save with the declarations of their fields."""

    def __init__(self, encoder: Encoder) -> None:
        """Look up the values of nodes in the entries of ``encoder``."""
        self._encoder = encoder

    def check(
        self,
        cls: type[Storable],
        values: Mapping[str, object],
        nodes: Mapping[str, Node],
        path: str,
    ) -> None:
        """Raise TypeError with the path of a value that its field does not accept."""
        hints, kinds = hints_of_fields(cls), _kinds_of(cls)
        for name, value in values.items():
            # Covers nearly all values of large records, without reading them.
            if type(value) not in kinds[name]:
                self._value(hints[name], value, nodes[name], path, name)

    def _value(
        self, hint: Any, value: object, node: Node, path: str, name: str
    ) -> None:
        if type(value) is hint and (hint in _PLAIN or isinstance(value, Storable)):
            # The fields of a record were checked when it was encoded.
            return
        if hint is torch.Tensor and isinstance(value, torch.Tensor):
            return
        where = join(path, name)
        if hint in (Any, object):
            _check_kept(value, None, where)
            _note_training(self._encoder.entries, node)
            return
        args = typing.get_args(hint)
        kind = typing.get_origin(hint)
        if kind is list and type(value) is list and isinstance(node, list):
            for i, (item, item_node) in enumerate(zip(value, node, strict=True)):
                self._value(args[0], item, item_node, where, str(i))
        elif kind is dict and isinstance(value, dict) and "$dict" not in node:
            _check_class(value, None, where)
            for text, (key, item) in zip(node, value.items(), strict=True):
                if type(key) is not str or args[0] is not str:
                    _check_key(args[0], key, text, where)
                self._value(args[1], item, node[text], where, escape(text))
        else:
            self._read(hint, value, node, where)

    def _read(self, hint: Any, value: Any, node: Node, path: str) -> None:
        try:
            with allow_tensor_classes(*self._encoder.wrapper_classes):
                again = _Readback(self._encoder.entries).value(hint, node, path)
        except RecordMismatchError as error:
            problem = "; ".join(text.removesuffix(".") for text in error.problems)
            raise TypeError(f"{problem}, as its field declares") from None
        kind = typing.get_origin(hint) or hint
        is_abstract = getattr(kind, "__module__", "") == "collections.abc"
        _check_kept(value, again, path, is_abstract=is_abstract)
        is_frozen = isinstance(value, nn.Parameter) and not value.requires_grad
        # The form of a wrapper tensor records whether it is trained.
        if isinstance(again, nn.Parameter) and is_frozen and not is_wrapper(value):
            raise TypeError(
                f"{path}: a frozen Parameter would be read back as a trainable "
                "one; declare a Tensor"
            )
        has_factory = (
            isinstance(value, defaultdict) and value.default_factory is not None
        )
        if isinstance(again, defaultdict) and has_factory:
            raise TypeError(
                f"{path}: the default_factory of a defaultdict cannot be stored; "
                "declare a dict"
            )


class _Readback(RecordDecoder):
    """Reads what is about to be saved, and notes its undeclared parts."""

    def __init__(self, entries: list[Entry]) -> None:
        super().__init__(Entries.of(entries, typed=True))
        self._entries = entries

    def _undeclared(self, node: Node, path: str) -> Any:
        _note_training(self._entries, node)
        return super()._undeclared(node, path)


def _note_training(entries: list[Entry], node: Node) -> None:
    """Note which undeclared tensors of ``node`` are trained."""
    for number in entry_numbers(node, _TENSORS):
        if is_trained(entries[number].source):
            entries[number].requires_grad = True


def _check_key(hint: object, key: object, text: str, path: str) -> None:
    """Raise TypeError for a key that its hint would turn into another one."""
    try:
        again = key_of_text(hint, text)
    except LookupError:
        again = None
    if not _is_same_key(key, again):
        raise TypeError(_stray_key(key, path))


def _is_same_key(key: object, again: object) -> bool:
    """Return whether ``again`` is ``key``; strings may have another class."""
    return type(key) is type(again) or (isinstance(key, str) and isinstance(again, str))


def _stray_key(key: object, path: str) -> str:
    return f"{path}: a dict with the key {key!r} is not what the field declares"


def _check_kept(
    value: object, again: object, path: str, *, is_abstract: bool = False
) -> None:
    """Raise TypeError for a value that differs in ``again``, its result of reading.

    Below fields without declared types, such as ``Any`` and ``list``, members of enums
    and keys of dicts would come back as strings, registered types as plain data, and
    containers of other classes as plain ones, which an abstract hint allows.
    """
    if isinstance(value, dict | list | tuple) and not is_abstract:
        _check_class(value, again, path)
    if isinstance(value, Storable) and isinstance(again, Storable):
        _check_class_of_record(value, again, path)
    if registered_type_of(type(value)) is not None:
        if type(again) is not type(value):
            name = type(value).__qualname__
            raise TypeError(f"{path}: {with_article(name)} {UNDECLARED_TYPE}")
    elif isinstance(value, enum.Enum):
        if type(again) is not type(value):
            raise TypeError(f"{path}: {value!r} {UNDECLARED_ENUM}")
    elif isinstance(value, Mapping):
        items = again if isinstance(again, Mapping) else {}
        again_keys = {key: key for key in items}
        for key, item in value.items():
            if again is None:
                check_text_key(key, path)
            elif not _is_same_key(key, again_keys.get(_exact(key))):
                raise TypeError(_stray_key(key, path))
            _check_kept(item, items.get(_exact(key)), join(path, escape(str(key))))
    elif isinstance(value, list | tuple):
        read_items = again if isinstance(again, list | tuple) else ()
        for i, (item, read_item) in enumerate(zip_longest(value, read_items)):
            _check_kept(item, read_item, join(path, i))


def _check_class(value: object, again: object, path: str) -> None:
    """Raise TypeError for a container that would come back as another class.

    An OrderedDict may come back as a dict, which is ordered too.
    """
    cls = type(value)
    if cls is tuple and hasattr(again, "_fields"):
        kind = with_article(type(again).__qualname__)
        raise TypeError(f"{path}: a tuple would be read back as {kind}; store {kind}")
    if cls in _CONTAINERS or cls is OrderedDict or cls is type(again):
        return
    base = next(c for c in _CONTAINERS if isinstance(value, c))
    name, plain_name = with_article(cls.__qualname__), with_article(base.__name__)
    raise TypeError(
        f"{path}: {name} would be read back as {plain_name}; declare "
        f"{cls.__qualname__}, or store {plain_name}"
    )


def _check_class_of_record(value: Storable, again: Storable, path: str) -> None:
    """Raise TypeError for a record that would come back as another class.

    Where no class is declared, a record without declared fields comes back.
    """
    if type(value) is not type(again) and declares_fields(type(again)):
        name, new_name = (with_article(type(v).__qualname__) for v in (value, again))
        raise TypeError(
            f"{path}: {name} would be read back as {new_name}, which the field "
            "declares; rename one of them, or store it in another field"
        )


def _exact(key: object) -> object:
    """Return a key as it is read: a string of a subclass becomes a str."""
    if isinstance(key, enum.Enum) or not isinstance(key, str):
        return key
    return str.__str__(key)


_CONTAINERS: tuple[type, ...] = (dict, list, tuple)
_PLAIN = frozenset({torch.Tensor, bool, int, float, str, bytes, type(None)})
_KINDS = "_burnish_kinds"
_TENSORS = frozenset({"$tensor"})
