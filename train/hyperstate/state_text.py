"""A state as text that users edit, with its large objects as records beside it."""

import copy
import operator
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args
from urllib.parse import quote

import numpy as np
import torch

from ...config.classes.declared_types import item_type, members
from ...config.classes.field_types import Serializable, encoded, is_field_type
from ...config.classes.fields import is_struct_value, stored_fields
from ...config.encode import HOW_TO_REGISTER, encode
from ...config.errors import ConfigError, Problem
from ...config.path import child
from ...config.process.interrupts import raise_of_signal
from ..checkpoints.part import VALUE
from ..checkpoints.part_kinds import kind_of
from .blob_markers import marker_of
from .field_marks import PENDING, Lazy, is_blob_field

SUFFIX = ".mpk"


@dataclass(slots=True)
class Split:
    """A state in its two parts."""

    blobs: dict[str, Any] = field(default_factory=dict[str, Any])
    """The objects to store, by path."""
    pending: list[Any] = field(default_factory=list[Any])
    """Fields of lazy states that were not accessed since they were restored."""
    files: dict[int, str] = field(default_factory=dict[int, str])
    """The file of each object found, so that one at two paths is stored once."""
    plain: dict[str, Any] = field(default_factory=dict[str, Any])
    """The expected text at each path; the object itself where a marker is."""
    waiting: set[str] = field(default_factory=set[str])
    """The paths of the fields in ``pending``."""

    def tree(self, state: object) -> Any:
        """Return ``state`` as a tree for a text, with a marker for each blob."""
        try:
            return encode(self._without_blobs(state, "", None))
        except ConfigError as error:
            problems = [_as_state(problem) for problem in error.problems]
            raise ConfigError(error.source, problems) from None

    def file_at(self, path: str) -> str:
        """Return the file of the object at ``path``."""
        return self.files[id(self.blobs[path])]

    def _without_blobs(self, value: object, path: str, annotation: object) -> Any:
        if is_blob_field(annotation) or is_blob(value):
            self.plain[path] = value
            return self._marker(value, path)
        node = self.plain[path] = self._node_of(value, path, annotation)
        return node

    def _node_of(self, value: object, path: str, annotation: object) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if is_struct_value(value):
            return self._struct(value, path)
        if isinstance(value, Mapping):
            return _with_items(
                value,
                {
                    key: self._without_blobs(
                        v, child(path, key), _item(annotation, key)
                    )
                    for key, v in value.items()
                },
            )
        if isinstance(value, list | tuple):
            items = [
                self._without_blobs(v, child(path, i), _item(annotation, i))
                for i, v in enumerate(cast("list[object] | tuple[object, ...]", value))
            ]
            return _with_items(value, items)
        return value

    def _struct(self, value: object, path: str) -> Any:
        stripped, waiting = _unread(value)
        for part in stored_fields(type(value)):
            below = child(path, part.name)
            deferred = waiting.get(part.attribute)
            if deferred is not None and not deferred.is_made:
                self.pending.append(deferred)
                self.waiting.add(below)
                node = deferred.tree
            else:
                item = getattr(value, part.attribute)
                node = self._without_blobs(item, below, part.annotation)
            object.__setattr__(stripped, part.attribute, node)
        return stripped

    def _marker(self, value: object, path: str) -> str | None:
        if value is None:
            return None
        file = self.files.get(id(value))
        if file is None:
            file = self.files[id(value)] = self._new_file(path)
            self.blobs[path] = value
        return marker_of(file)

    def _new_file(self, path: str) -> str:
        """Return a unique file name that resembles ``path``."""
        names = re.sub(r"\[(-?\d+)\]", r".\1", path)
        stem = f"state.{quote(names, safe='._- ')[:180]}"
        used_names = {file.lower() for file in self.files.values()}
        file, n = f"{stem}{SUFFIX}", 2
        while file.lower() in used_names:
            file, n = f"{stem}~{n}{SUFFIX}", n + 1
        return file


def _as_state(problem: Problem) -> Problem:
    """Return ``problem``, adapted from configs to states."""
    cure = (
        f"{HOW_TO_REGISTER}; for plain data that text cannot store (a deque of "
        "tensors, a dtype) declare the field as Blob[...]"
    )
    return Problem(problem.path, problem.message.replace(HOW_TO_REGISTER, cure))


def is_blob(value: object) -> bool:
    """Return whether ``value`` is stored as a record."""
    if isinstance(value, Serializable | torch.Tensor | np.ndarray):
        return True
    if is_field_type(type(value)):
        return _holds_arrays(encoded(value))
    return not is_struct_value(value) and kind_of(value) != VALUE


def _holds_arrays(data: object) -> bool:
    """Return whether ``data`` contains values that texts cannot hold."""
    if isinstance(data, Mapping):
        return any(map(_holds_arrays, data.values()))
    if isinstance(data, list | tuple):
        return any(map(_holds_arrays, data))
    return isinstance(data, torch.Tensor | np.ndarray | np.generic | bytes | bytearray)


def _with_items(
    container: Collection[object], items: dict[object, object] | list[object]
) -> Collection[object]:
    """Return a copy of ``container`` with ``items`` instead of its own.

    It is of the same class, so that a class that no text has is noticed when the text
    is read back; a plain dict or list where a user-defined mapping cannot be copied.
    """
    if type(container) is dict or type(container) is list:
        return items
    if isinstance(container, tuple):
        if all(map(operator.is_, container, items)):
            return container
        make: Any = getattr(container, "_make", tuple)
        return cast("tuple[object, ...]", make(items))
    duplicate: Any
    try:
        duplicate = copy.copy(container)
        if isinstance(items, dict):
            for key, item in items.items():
                duplicate[key] = item
        else:
            duplicate[:] = items
    except Exception as error:  # user code
        raise_of_signal(error)
        duplicate = items
    return cast("Collection[object]", duplicate)


def _item(annotation: object, key: object) -> Any:
    for member in members(annotation) if annotation is not None else ():
        if get_args(member):
            return item_type(member, key)
    return None


def _unread(value: object) -> tuple[Any, dict[str, Any]]:
    """Return a copy of a struct, and the pending fields of a lazy one."""
    if not isinstance(value, Lazy):
        return copy.copy(value), {}
    waiting: dict[str, Any] = dict(vars(value).get(PENDING, {}))
    if hasattr(type(value), "__copy__"):
        stripped = copy.copy(value)  # of a pydantic model, which has more than this
    else:
        # A usual copy would read all fields.
        stripped = object.__new__(type(value))
        vars(stripped).update(vars(value))
    vars(stripped).pop(PENDING, None)
    return stripped, waiting
