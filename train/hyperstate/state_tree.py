"""Traversal of a state's text, with the declaration of its class at each path."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, get_origin

from numpy import ndarray
from torch import Tensor

from ...config.classes.declared_types import allows_none, item_type, members
from ...config.classes.field_types import Serializable
from ...config.classes.fields import ClassField, field_types_in, fields_of, is_struct
from ...config.classes.keyed_types import item_types
from ...config.classes.union_choice import struct_for
from ...config.errors import ConfigError, Problem
from ...config.path import child, path_below
from ...config.short_text import short_repr
from ...config.spelling import did_you_mean
from ...config.tree import is_dict, is_items
from ...config.validation.normalize import Preparation
from ...config.validation.pydantic_check import check
from ...config.validation.validate import build, put_back
from ...records.io.remote.url import Place
from .blob_markers import checked_file, has_blobs, is_marker, marker_of
from .field_marks import is_blob_field

Waiting: TypeAlias = tuple[Callable[[], Any], Any]
"""A function that reads a deferred field, and its part of the text."""


@dataclass(slots=True, kw_only=True)
class StateTree(ABC):
    """Makes a state from its text; a subclass makes the objects and instances.

    A marker is an object, whose path is noted before the traversal: any of them may
    need another. All other values are checked as in configs.
    """

    ctx: dict[str, Any]
    """The context for restoring `Serializable` values."""
    ignore_extra: bool = False
    _places: dict[str, tuple[str, Any]] = field(default_factory=lambda: {})
    """The file of each object, and the type declared for it, by its path."""
    _texts: list[Problem] = field(default_factory=list[Problem])
    """Problems of strings where an object is declared.

    A damaged marker would otherwise go unnoticed until the object is used.
    """

    @property
    @abstractmethod
    def folder(self) -> Place:
        """The location of the records, for errors."""

    @property
    @abstractmethod
    def text_file(self) -> str:
        """The file of the text, for errors."""

    @abstractmethod
    def blob(self, path: str) -> Any:
        """Return the object at ``path``."""

    @abstractmethod
    def instance(
        self,
        cls: Any,
        values: dict[str, Any],
        waiting: dict[str, Waiting],
        absent: list[ClassField],
    ) -> Any:
        """Return the ``cls`` of ``values``; those of ``waiting`` come later.

        ``absent`` have a default, and are not in the text.
        """

    def places_are_known(self) -> None:  # noqa: B027  # most have nothing to do
        """Prepare before the first object is requested."""

    def waits(self, cls: Any, item: Any) -> bool:
        """Return whether a field of ``cls`` is read on first access."""
        return False

    def state(self, cls: Any, tree: Any) -> Any:
        """Return the state that ``tree`` describes, with upgraded versions."""
        self._collect(cls, tree, "")
        if self._texts:
            raise ConfigError(self.text_file, self._texts)
        self.places_are_known()
        return self.value(cls, tree, "")

    def value(self, annotation: Any, tree: Any, path: str) -> Any:
        """Return the value at ``path``. ConfigError has the path of the problem."""
        if is_marker(tree) and path in self._places:
            return self.blob(path)
        if field_types_in(annotation):
            return self.checked_plain_data(annotation, tree, path)
        cls = struct_for(annotation, tree) if not is_marker(tree) else None
        if cls is not None and (has_blobs(tree) or _holds_objects(cls)):
            return self.struct(cls, tree, path)
        if has_blobs(tree):
            return self.container(annotation, tree, path)
        if tree is None and allows_none(annotation):
            return None
        return self.checked_plain_data(annotation, tree, path)

    def _collect(self, annotation: Any, tree: Any, path: str) -> None:
        """Note the paths of objects, so that one can request another."""
        if is_marker(tree):
            if str not in members(annotation) or is_blob_field(annotation):
                self._places[path] = (
                    checked_file(tree, path, self.folder),
                    annotation,
                )
        elif field_types_in(annotation):
            # Its data is not interpreted, even strings that look like markers.
            return
        elif isinstance(tree, str):
            if _stands_for_object(annotation, tree):
                message = f"found {short_repr(tree)}, expected {marker_of('FILE')!r}"
                self._texts.append(Problem(path, f"{message}, an object"))
        elif is_dict(tree):
            cls = struct_for(annotation, tree)
            fields = {} if cls is None else fields_of(cls)
            for key, item in tree.items():
                hint = fields[key].annotation if key in fields else None
                if cls is None:
                    hint = _item(annotation, key)
                if cls is None or key in fields:
                    self._collect(hint, item, child(path, key))
        elif is_items(tree):
            for i, item in enumerate(tree):
                self._collect(_item(annotation, i), item, child(path, i))

    def struct(self, cls: Any, tree: Any, path: str) -> Any:
        """Return the instance of ``cls`` whose fields are in ``tree``."""
        values: dict[str, Any] = {}
        waiting: dict[str, Waiting] = {}
        problems = self._unknown(cls, tree, path)
        absent: list[ClassField] = []
        for part in fields_of(cls).values():
            below = child(path, part.name)
            if part.name not in tree:
                if part.has_default:
                    absent.append(part)
                else:
                    problems.append(Problem(below, "missing value"))
                continue
            item = tree[part.name]
            if self.waits(cls, item):
                load = partial(self.value, part.annotation, item, below)
                waiting[part.attribute] = (load, item)
                continue
            try:
                values[part.attribute] = self.value(part.annotation, item, below)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(self.text_file, problems)
        return self.instance(cls, values, waiting, absent)

    def _unknown(self, cls: Any, tree: Any, path: str) -> list[Problem]:
        fields = fields_of(cls)
        if self.ignore_extra:
            return []
        return [
            Problem(
                child(path, str(name)),
                f"unknown field for {cls.__name__}.{did_you_mean(str(name), fields)}",
            )
            for name in tree
            if name not in fields
        ]

    def container(self, annotation: Any, tree: Any, path: str) -> Any:
        """Return a list, tuple or dict that contains objects."""
        if is_dict(tree):
            values = {
                key: self.value(_item(annotation, key), item, child(path, key))
                for key, item in tree.items()
            }
            kinds = [get_origin(m) or m for m in members(annotation)]
            return OrderedDict(values) if OrderedDict in kinds else values
        if not is_items(tree):
            return self.checked_plain_data(annotation, tree, path)
        items = [
            self.value(_item(annotation, i), item, child(path, i))
            for i, item in enumerate(tree)
        ]
        named_tuple: Any = next(filter(item_types, members(annotation)), None)
        if named_tuple is not None:
            return named_tuple._make(items)
        return tuple(items) if isinstance(tree, tuple) else items

    def checked_plain_data(self, annotation: Any, tree: Any, path: str) -> Any:
        """Return plain data, checked against its type as in configs."""
        if annotation is None:
            annotation = Any
        preparation = Preparation(ignore_extra=self.ignore_extra, ctx=self.ctx)
        try:
            prepared = preparation.value(annotation, tree)
            checked = check(annotation, prepared, preparation.problems)
        except ConfigError as error:
            problems = [
                Problem(path_below(path, p.path), p.message) for p in error.problems
            ]
            raise ConfigError(self.text_file, problems) from None
        except TypeError:
            # A type that no text has, such as an empty list of modules.
            return tree
        return put_back(checked, preparation.schedules)


def _stands_for_object(annotation: Any, text: str) -> bool:
    """Return whether ``text`` is no marker although an object is declared there."""
    kinds = () if annotation is None else members(annotation)
    plain_kinds = [kind for kind in kinds if not _is_object_class(kind)]
    return len(plain_kinds) < len(kinds) and not any(
        _takes(kind, text) for kind in plain_kinds
    )


def _takes(kind: Any, text: str) -> bool:
    try:
        build(kind, text)
    except (ConfigError, TypeError):
        return False
    return True


def _is_object_class(kind: object) -> bool:
    """Return whether instances of ``kind`` are stored in records of their own."""
    if not isinstance(kind, type):
        return False
    has_state = hasattr(kind, "state_dict") and hasattr(kind, "load_state_dict")
    return has_state or issubclass(kind, Serializable | Tensor | ndarray)


def _holds_objects(cls: Any) -> bool:
    """Return whether a field's type cannot be written as text."""
    try:
        check(cls, {}, ())
    except ConfigError:
        return False
    except TypeError:
        return True
    return False


def _item(annotation: Any, key: Any) -> Any:
    for member in members(annotation) if annotation is not None else ():
        if not is_struct(member) and getattr(member, "__args__", None):
            return item_type(member, key)
    return None
