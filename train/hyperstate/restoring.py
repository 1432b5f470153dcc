"""A state made again of its text and its records, each object when it is needed."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ...config.classes.fields import (
    ClassField,
    allows_none,
    field_types_in,
    fields_of,
    is_struct,
    item_type,
    members,
)
from ...config.classes.serializable import deserialized
from ...config.classes.union_choice import struct_for
from ...config.errors import ConfigError, Problem
from ...config.path import child, path_below
from ...config.spelling import did_you_mean
from ...config.tree import is_dict, is_items
from ...config.validation.normalize import Preparation
from ...config.validation.pydantic_check import check
from ...config.validation.validate import put_back
from ...records.errors import RecordMismatchError
from ...records.io.save_handle import join_saves
from ..checkpoints.rng import restored_generators
from .blob_markers import LEGACY_SUFFIX, checked_file, has_blobs, is_marker
from .digests import check_digest
from .field_marks import PENDING, Lazy
from .lazy_fields import Deferred, Origin, View, value_in_state
from .legacy_objects import read_legacy_object
from .state_objects import open_object, restore_object, serializable_class
from .state_text import is_blob_field


@dataclass(slots=True)
class Restoring:
    """Makes the objects of one checkpoint, each once, those that it needs first."""

    origin: Origin
    config: Any
    initial_state: Callable[[], Any] | None
    """Makes a state anew; None where no program is there to do it."""
    ctx: dict[str, Any]
    ignore_extra: bool = False
    hyperparameters: Literal["compare", "ignore"] | None = None
    """Whether modules may have other hyperparameters than their records."""
    view: Any = None
    """What ``deserialize`` is given as the state."""
    n_loaded: int = 0
    """How many objects were read."""
    _places: dict[str, tuple[str, Any]] = field(default_factory=lambda: {})
    _active: list[str] = field(default_factory=lambda: [])
    _template: Any = None

    @property
    def folder(self) -> Path:
        """Where the records lie, as errors tell it."""
        return self.origin.files.folder

    @property
    def files(self) -> dict[str, str]:
        """The file of each object by its path, once the state was asked for."""
        return {path: file for path, (file, _) in self._places.items()}

    def state(self, cls: Any, tree: Any) -> Any:
        """Return the state that ``tree`` describes, its versions upgraded already."""
        self._collect(cls, tree, "")
        if self.view is None:
            self.view = View(self.value, cls, tree)
        return self.value(cls, tree, "")

    def value(self, annotation: Any, tree: Any, path: str) -> Any:
        """Return what stands at ``path``. ConfigError has the path of what is wrong."""
        if is_marker(tree) and path in self._places:
            return self.blob(path)
        if field_types_in(annotation):
            return self._checked_plain_data(annotation, tree, path)
        cls = struct_for(annotation, tree) if not is_marker(tree) else None
        if cls is not None and (has_blobs(tree) or _holds_objects(cls)):
            return self._struct(cls, tree, path)
        if has_blobs(tree):
            return self._container(annotation, tree, path)
        if tree is None and allows_none(annotation):
            return None
        return self._checked_plain_data(annotation, tree, path)

    def blob(self, path: str) -> Any:
        """Return the object at ``path``, made now unless it was before."""
        file, annotation = self._places[path]
        if file in self.origin.made:
            return self.origin.made[file]
        if path in self._active:
            circle = " -> ".join([*self._active[self._active.index(path) :], path])
            raise RecordMismatchError(
                str(self.folder), [f"these need each other to be restored: {circle}"]
            )
        self._active.append(path)
        try:
            # Constructors on the way may draw random numbers that the run never drew.
            with restored_generators():
                obj = self._make(path, file, annotation)
        finally:
            self._active.pop()
        self.origin.made[file] = obj
        self.n_loaded += 1
        return obj

    def _make(self, path: str, file: str, annotation: Any) -> Any:
        # A save that goes on ends by moving what was not read yet.
        join_saves(self.folder.parent)
        if file.endswith(LEGACY_SUFFIX):
            data = read_legacy_object(self.origin.files, file, path)
            return self.deserialized(data, annotation, str(self.folder / file))
        record = open_object(self.origin.files, file, path, self.hyperparameters)
        # A program that fills its own objects changes them one by one, so each is whole
        # and the one that was saved before it is handed on.
        record.load_all()
        check_digest(self.origin.files, file, self.origin.digests)
        return restore_object(record, path, annotation, self)

    def deserialized(self, data: Any, annotation: Any, file: str) -> Any:
        """Return what the class in ``annotation`` makes of ``data``."""
        cls = serializable_class(annotation, file)
        try:
            return deserialized(
                cls, data, self.ctx, config=self.config, state=self.view
            )
        except Exception as error:  # users' code
            names = ", ".join(map(repr, self.ctx)) or "nothing"
            error.add_note(
                f"in {cls.__qualname__}.deserialize, for {file}; ctx holds {names}"
            )
            raise

    def module_at(self, path: str) -> nn.Module:
        """Return the module at ``path``. KeyError if no object is there."""
        if path not in self._places:
            paths = ", ".join(self._places)
            hint = did_you_mean(path, self._places)
            raise KeyError(f"it steps {path!r}, but the state has {paths}.{hint}")
        module: nn.Module = self.blob(path)
        return module

    def initial_object(self, path: str) -> Any:
        """Return what the program itself makes at ``path`` when a run begins."""
        if self.initial_state is None:
            problem = (
                f"{path}: only the program can make it, and its record fills it: "
                "HyperState.load(Config, State, begin, path=folder) does. Classes with "
                "@burnish.module and Serializable ones come back by themselves"
            )
            raise RecordMismatchError(str(self.folder), [problem])
        if self._template is None:
            self._template = self.initial_state()
            # The template binds its objects to each other, so all of them are filled.
            for object_path in self._places:
                if object_path not in self._active:
                    self.blob(object_path)
        target = value_in_state(self._template, path)
        if target is None:
            raise RecordMismatchError(
                str(self.folder),
                [f"{path}: stored, but initial_state makes nothing there to fill"],
            )
        return target

    def _collect(self, annotation: Any, tree: Any, path: str) -> None:
        """Note where objects belong, so that one can ask for another."""
        if is_marker(tree):
            if str not in members(annotation) or is_blob_field(annotation):
                self._places[path] = (
                    checked_file(tree, path, self.folder),
                    annotation,
                )
        elif field_types_in(annotation):
            # Its data is its own affair, texts that look like markers too.
            return
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

    def _struct(self, cls: Any, tree: Any, path: str) -> Any:
        values: dict[str, Any] = {}
        waiting: dict[str, Deferred] = {}
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
            if self._waits(cls, item):
                load = partial(self.value, part.annotation, item, below)
                waiting[part.attribute] = Deferred(load, item, self.origin)
                continue
            try:
                values[part.attribute] = self.value(part.annotation, item, below)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(str(self.folder / "state.ron"), problems)
        return self._instance(cls, values, waiting, absent)

    def _waits(self, cls: Any, item: Any) -> bool:
        """Return whether a field of ``cls`` is read when it is first touched."""
        return issubclass(cls, Lazy) and has_blobs(item)

    def _instance(
        self,
        cls: Any,
        values: dict[str, Any],
        waiting: dict[str, Deferred],
        absent: list[ClassField],
    ) -> Any:
        """Return the ``cls`` of ``values``; those of ``waiting`` come later."""
        if waiting:
            return _lazy(cls, values, waiting, absent)
        names = {part.attribute: part.name for part in fields_of(cls).values()}
        # A constructor knows its defaults, those that are made of other fields too.
        return cls(**{names[key]: value for key, value in values.items()})

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

    def _container(self, annotation: Any, tree: Any, path: str) -> Any:
        if is_dict(tree):
            return {
                key: self.value(_item(annotation, key), item, child(path, key))
                for key, item in tree.items()
            }
        if not is_items(tree):
            return self._checked_plain_data(annotation, tree, path)
        items = [
            self.value(_item(annotation, i), item, child(path, i))
            for i, item in enumerate(tree)
        ]
        return tuple(items) if isinstance(tree, tuple) else items

    def _checked_plain_data(self, annotation: Any, tree: Any, path: str) -> Any:
        """Return plain data, checked against its type as configurations are."""
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
            raise ConfigError("", problems) from None
        except TypeError:
            # A type that no text has, such as a list of modules that is empty.
            return tree
        return put_back(checked, preparation.schedules)


def _lazy(
    cls: Any,
    values: dict[str, Any],
    waiting: dict[str, Deferred],
    absent: Sequence[ClassField],
) -> Any:
    """Return an instance whose waiting fields are read when they are touched."""
    state = cls.__new__(cls)
    for part in absent:
        if part.factory_of_data is None:
            values[part.attribute] = part.make_default()
        else:
            loaded = {name: deferred.load() for name, deferred in waiting.items()}
            values[part.attribute] = part.factory_of_data(loaded | values)
    init_only = [
        values.pop(part.attribute)
        for part in fields_of(cls).values()
        if not part.is_stored
    ]
    for name, value in values.items():
        object.__setattr__(state, name, value)
    object.__setattr__(state, PENDING, waiting)
    # Its constructor does not run, since that would read everything.
    if dataclasses.is_dataclass(cls) and hasattr(state, "__post_init__"):
        state.__post_init__(*init_only)
    return state


def _holds_objects(cls: Any) -> bool:
    """Return whether a field's type is one that no text has."""
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
