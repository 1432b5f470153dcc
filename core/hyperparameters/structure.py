# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""The parts of a built module, recorded to recognize manual changes later.

For each part that is its class, and those constructor arguments that it keeps under the
name of the argument (``p`` of a dropout, ``stride`` of a convolution), if they are
plain data, a function or a class. Other attributes may be counters and caches.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from inspect import Parameter
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeAlias

import torch
from torch import nn

from ...config.process.interrupts import raise_of_signal
from ...records.entries.encoder import Encoder
from ...records.errors import RecordError
from ...records.tensors.torch_internals import BatchNorm
from ..modules.classes import by_class, declared_class
from ..modules.registry import MODULE, NAME, names_of
from ..modules.signature import VARIADIC, parameters_of
from ..modules.tree import Places, places_of
from .descriptions import description
from .hparams_node import ATTRIBUTES, CHANGED
from .torch_layers import is_torch_layer

STRUCTURE = "_burnish_structure"
"""The attribute of a module that holds its `Structure`."""

ClassOrName: TypeAlias = type[nn.Module] | tuple[str, str]
"""A class; for an unpickled module its name, if the program lacks it."""

AttributeGetter: TypeAlias = Callable[[Mapping[str, Any]], Any]

Row: TypeAlias = tuple[
    ClassOrName, AttributeGetter | None, Any, tuple[str, ...], tuple[Any, ...]
]
"""A part's class, the getter of its attributes and its result, names and values.

The getter is a single call of C.
"""

PartChange: TypeAlias = tuple[list[str], dict[str, Any]]
"""Paths, with the new node at each of them; an empty node for a removed part."""


class Structure:
    """The original parts of a module, by path."""

    __slots__ = ("prefixes", "rows")

    def __init__(self, prefixes: list[str], rows: list[Row]) -> None:
        self.prefixes, self.rows = prefixes, rows

    def changes(self, places: Places) -> list[PartChange]:
        """Return the differences of the module that is now at ``places``."""
        if self.prefixes == [prefix for prefix, _ in places]:
            owners = [owner for _, owner in places]
            numbers = self._numbers_to_compare(owners)
            # Every save comes here, and nearly always nothing has changed.
            if not numbers:
                return []
            of_number = ((n, _change(owners[n], self.rows[n])) for n in numbers)
            return _group_by_node((self.prefixes[n], node) for n, node in of_number)
        # A wrapper and its content have the same path: the content counts.
        parts = dict(places)
        rows = dict(zip(self.prefixes, self.rows, strict=True))
        nodes = [(p, _change(owner, rows.get(p))) for p, owner in parts.items()]
        return _group_by_node([*nodes, *((p, {}) for p in rows if p not in parts)])

    def _numbers_to_compare(self, owners: list[nn.Module]) -> Sequence[int]:
        """Return the numbers of the parts that may have changed."""
        pairs = zip(owners, self.rows, strict=True)
        try:
            return [
                n
                for n, (owner, (cls, get, values, _, _)) in enumerate(pairs)
                if type(owner) is not cls or (get and get(owner.__dict__) != values)
            ]
        except Exception as error:
            raise_of_signal(error)
            # An attribute was removed, or is an array, whose comparison gives many
            # values.
            return range(len(owners))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Structure":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        rows = {id(row): row for row in self.rows}
        portable = {key: _portable_row(row) for key, row in rows.items()}
        return (_unpickled, (self.prefixes, [portable[id(row)] for row in self.rows]))


def note_structure(module: nn.Module) -> None:
    """Record the parts of ``module``, which was just built, in it."""
    try:
        parts = dict(places_of(module))
    except (AttributeError, RecursionError):
        return  # not a module yet, or one that is nested too deep to be saved
    rows: list[Row] = []
    kinds: dict[type, _RowsOfClass] = {}
    # A constructor of 5,000 parts ends here, so equal parts share a row.
    for owner in parts.values():
        cls = type(owner)
        kind = kinds.get(cls)
        if kind is None:
            kind = kinds[cls] = _RowsOfClass(cls, owner)
        if kind.get is None:
            is_bare = kind.absent is None or kind.absent.isdisjoint(owner.__dict__)
            rows.append(kind.bare if is_bare else kind.row(owner))
            continue
        try:
            rows.append(kind.rows[kind.get(owner.__dict__)])
        except (KeyError, TypeError):
            rows.append(kind.row(owner))
    module.__dict__[STRUCTURE] = Structure([*parts], rows)


class _RowsOfClass:
    """The rows of one class by the values of their attributes."""

    __slots__ = ("absent", "bare", "cls", "get", "names", "rows")

    def __init__(self, cls: type[nn.Module], instance: nn.Module) -> None:
        self.cls, self.names = cls, _names(cls)
        present = [name for name in self.names if name in instance.__dict__]
        is_settled = len(present) == len(self.names) or is_torch_layer(cls)
        self.absent = None if is_settled else frozenset(self.names)
        """The names, if other instances may have more of them than the first."""
        self.get = itemgetter(*present) if is_settled and present else None
        self.bare = _row(cls, (), ())
        self.rows: dict[Any, Row] = {}

    def row(self, owner: nn.Module) -> Row:
        names = tuple(name for name in self.names if name in owner.__dict__)
        values = tuple(owner.__dict__[name] for name in names)
        row = _row(self.cls, *_only_lasting(names, values))
        if self.get is not None:
            with suppress(KeyError, TypeError):  # fewer names, or a list
                self.rows[self.get(owner.__dict__)] = row
        return row


def _row(cls: ClassOrName, names: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    get = itemgetter(*names) if names else None
    return cls, get, values[0] if len(values) == 1 else values, names, values


def note_of_changes(module: nn.Module, places: Places) -> dict[str, Any]:
    """Return the changes of ``module`` since it was built, by their key in files.

    Nothing if there are none, or if its original structure is unknown.
    """
    structure: Structure | None = module.__dict__.get(STRUCTURE)
    changes = [] if structure is None else structure.changes(places)
    return {CHANGED: [[paths, node] for paths, node in changes]} if changes else {}


def plain_attribute(value: object) -> object:
    """Return the representation of an attribute's value in files."""
    if isinstance(value, tuple):
        return [plain_attribute(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # plain data
    if isinstance(value, torch.dtype):
        return str(value)
    if type(value) not in _LASTING or isinstance(value, _NAMED):
        return description(value)
    return value if is_storable(value) else description(value)


def is_storable(value: object, levels_above: int = 0) -> bool:
    """Return whether the format of records accepts ``value`` as plain data.

    The ``levels_above`` maps around it reduce the number of levels it may nest.
    """
    for _ in range(levels_above):
        value = {"": value}
    try:
        Encoder().encode(value, "")
    except (TypeError, ValueError, RecordError):
        return False
    return True


def is_lasting(value: object) -> bool:
    """Return whether ``value`` is immutable, and so can be compared later."""
    if isinstance(value, tuple):
        return all(map(is_lasting, value))  # pyright: ignore[reportUnknownArgumentType]  # plain data
    return type(value) in _LASTING


_NAMED = (FunctionType, BuiltinFunctionType, type)
_LASTING = frozenset(
    {int, float, str, bool, type(None), torch.dtype, FunctionType, BuiltinFunctionType}
    | {type}
)
"""Types of immutable values that keep no other objects alive."""

MEANINGLESS = frozenset({"device", "dtype", "inplace", "training"})
"""Arguments that affect no result of a module, or that are its mode."""

_SHAPES = frozenset(
    {"in_features", "out_features", "num_features", "in_channels", "out_channels"}
    | {"num_embeddings", "embedding_dim", "normalized_shape", "num_channels"}
)
"""Arguments of torch's layers that the shapes of their parameters show."""


@by_class
def _names(cls: type[nn.Module]) -> tuple[str, ...]:
    try:
        parameters: Mapping[str, Parameter] = parameters_of(cls)
    except (TypeError, ValueError):
        return ()  # a constructor in C
    silent = MEANINGLESS | _SHAPES if is_torch_layer(cls) else MEANINGLESS
    return tuple(
        name
        for name, parameter in parameters.items()
        if name not in silent and parameter.kind not in VARIADIC
    )


def _only_lasting(
    names: tuple[str, ...], values: tuple[Any, ...]
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    pairs = zip(names, values, strict=True)
    chosen = [(name, value) for name, value in pairs if is_lasting(value)]
    return tuple(name for name, _ in chosen), tuple(value for _, value in chosen)


def _change(owner: nn.Module, row: Row | None) -> dict[str, Any] | None:
    """Return the node of ``owner`` if it differs from what ``row`` was."""
    cls: Any = declared_class(type(owner))
    if row is not None and _is_form_of(owner, cls, row[0]):
        if isinstance(owner, torch.jit.ScriptModule) or cls is _class_after_lazy(
            row[0]
        ):
            return None
        attributes = _changed_attributes(owner, row)
        names_of_row = _names_of_class(row[0])
        return {**names_of_row, ATTRIBUTES: attributes} if attributes else None
    names = _names(type(owner))
    names, values = _only_lasting(names, tuple(map(owner.__dict__.get, names)))
    attributes = {n: plain_attribute(v) for n, v in zip(names, values, strict=True)}
    return {**_names_of_class(cls), ATTRIBUTES: attributes}


def _is_form_of(owner: nn.Module, now: Any, cls: ClassOrName) -> bool:
    """Return whether ``owner``, now a ``now``, is the ``cls`` that was built.

    TorchScript, lazy modules and training on several devices replace classes.
    """
    if isinstance(owner, torch.jit.ScriptModule):
        name: Any = getattr(owner, "original_name", None)
        return bool(name == _names_of_class(cls)[NAME].rpartition(".")[2])
    if now is cls or now is _class_after_lazy(cls):
        return True
    if issubclass(now, nn.SyncBatchNorm) and isinstance(cls, type):
        return issubclass(cls, BatchNorm)
    return _names_of_class(now) == _names_of_class(cls)


def _class_after_lazy(cls: ClassOrName) -> Any:
    return getattr(cls, "cls_to_become", None)


def _names_of_class(cls: ClassOrName) -> dict[str, str]:
    if isinstance(cls, tuple):
        return {MODULE: cls[0], NAME: cls[1]}
    return names_of(declared_class(cls))


def _changed_attributes(owner: nn.Module, row: Row) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name, value in zip(row[3], row[4], strict=True):
        now = owner.__dict__.get(name)
        # An attribute that became a tensor or an object was computed, and is not a
        # setting.
        if is_lasting(now) and now is not value and now != value:
            attributes[name] = plain_attribute(now)
    return attributes


def _group_by_node(
    changes: Iterable[tuple[str, dict[str, Any] | None]],
) -> list[PartChange]:
    """Return them by their node, since a loop over layers changes many alike."""
    groups: dict[str, PartChange] = {}
    for prefix, node in changes:
        if node is not None:
            groups.setdefault(repr(node), ([], node))[0].append(prefix[:-1])
    return [*groups.values()]


def _portable_row(row: Row) -> tuple[Any, ...]:
    """Return ``row`` without functions and classes, which may not be picklable."""
    cls, _, _, names, values = row
    name = cls if isinstance(cls, tuple) else (cls.__module__, cls.__qualname__)
    pairs = zip(names, values, strict=True)
    chosen = [(n, v) for n, v in pairs if not isinstance(v, _NAMED)]
    return name, tuple(n for n, _ in chosen), tuple(v for _, v in chosen)


def _unpickled(prefixes: list[str], rows: list[tuple[Any, ...]]) -> Structure:
    # Pickle restores a shared object as one.
    portable_rows = {id(row): row for row in rows}
    rows_by_id = {
        k: _row(_class_or_name(cls), *names_and_values)
        for k, (cls, *names_and_values) in portable_rows.items()
    }
    return Structure(prefixes, [rows_by_id[id(row)] for row in rows])


def _class_or_name(name: ClassOrName) -> ClassOrName:
    """Return the class of that name, if the program has it in the same module."""
    if isinstance(name, type):
        return name
    attribute: Any = sys.modules.get(name[0])
    for part in name[1].split("."):
        attribute = getattr(attribute, part, None)
    return attribute if isinstance(attribute, type) else name
