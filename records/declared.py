"""The fields that a record declares, checked before the first byte of it is written.

Nothing is saved that its class could not load: the reader itself decides.
"""

import enum
import typing
from collections import defaultdict
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from ..config.classes.fields import members
from ..config.path import join
from ..config.plain.codec import Node
from .entries.encoder import UNDECLARED_ENUM, Storable
from .entries.entries import Entries
from .entries.entry import Entry
from .entries.nodes import escape
from .errors import RecordMismatchError
from .field_hints import hints_of
from .record_decoder import RecordDecoder


def _kinds_of(cls: type[Storable]) -> dict[str, frozenset[Any]]:
    """Return the types that are plain data, and that each field takes as they are."""
    kinds: dict[str, frozenset[Any]] | None = cls.__dict__.get(_KINDS)
    if kinds is None:
        kinds = {
            name: _PLAIN.intersection(members(hint))
            for name, hint in hints_of(cls).items()
        }
        setattr(cls, _KINDS, kinds)
    return kinds


class Declared:
    """Compares the values of one save with what their fields declare."""

    def __init__(self, entries: list[Entry]) -> None:
        """Look up the values of nodes in ``entries``."""
        self._entries = entries

    def check(
        self,
        cls: type[Storable],
        values: Mapping[str, Any],
        nodes: Mapping[str, Node],
        path: str,
    ) -> None:
        """Raise TypeError with the path of a value that its field would not take."""
        hints, kinds = hints_of(cls), _kinds_of(cls)
        for name, value in values.items():
            # Nearly all values of large records: nothing of them has to be read.
            if type(value) not in kinds[name]:
                self._value(hints[name], value, nodes[name], path, name)

    def _value(self, hint: Any, value: Any, node: Node, path: str, name: str) -> None:
        if type(value) is hint and (hint in _PLAIN or isinstance(value, Storable)):
            # The fields of a record were checked when it was encoded.
            return
        if hint is torch.Tensor and isinstance(value, torch.Tensor):
            return
        where = join(path, name)
        if hint in (Any, object):
            _check_enums(value, None, where)
            return
        args = typing.get_args(hint)
        kind = typing.get_origin(hint)
        if kind is list and type(value) is list and isinstance(node, list):
            for i, (item, item_node) in enumerate(zip(value, node, strict=True)):
                self._value(args[0], item, item_node, where, str(i))
        elif kind is dict and isinstance(value, dict) and "$dict" not in node:
            for key, item in value.items():
                self._value(args[1], item, node[key], where, escape(key))
        else:
            self._read(hint, value, node, where)

    def _read(self, hint: Any, value: Any, node: Node, path: str) -> None:
        entries = Entries.of(self._entries, typed=True)
        try:
            again = RecordDecoder(entries).value(hint, node, path)
        except RecordMismatchError as error:
            problem = "; ".join(text.removesuffix(".") for text in error.problems)
            raise TypeError(f"{problem}, as its field declares") from None
        _check_enums(value, again, path)
        is_frozen = isinstance(value, nn.Parameter) and not value.requires_grad
        if isinstance(again, nn.Parameter) and is_frozen:
            raise TypeError(
                f"{path}: a frozen Parameter would come back as a trainable one; "
                "declare a Tensor"
            )
        has_factory = (
            isinstance(value, defaultdict) and value.default_factory is not None
        )
        if isinstance(again, defaultdict) and has_factory:
            raise TypeError(
                f"{path}: the factory of a defaultdict cannot be stored; declare a dict"
            )


def _check_enums(value: object, again: object, path: str) -> None:
    """Raise TypeError for a member in ``value`` that is none in what is read ``again``.

    There are such below fields that declare nothing, as ``Any`` and ``list`` do.
    """
    if isinstance(value, enum.Enum):
        if type(again) is not type(value):
            raise TypeError(f"{path}: {value!r} {UNDECLARED_ENUM}")
    elif isinstance(value, Mapping):
        items = again if isinstance(again, Mapping) else {}
        for key, item in value.items():
            _check_enums(item, items.get(key), join(path, escape(key)))
    elif isinstance(value, list | tuple):
        read_items = again if isinstance(again, list | tuple) else ()
        for i, (item, read_item) in enumerate(zip_longest(value, read_items)):
            _check_enums(item, read_item, join(path, i))


_PLAIN = frozenset({torch.Tensor, bool, int, float, str, bytes, type(None)})
_KINDS = "_burnish_kinds"
