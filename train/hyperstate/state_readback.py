"""The text of a state is read back before it counts as written.

It is read as restoring reads it, with the objects that are about to be stored instead
of their records: no file is opened, and no class that holds objects is called.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

from ...config.classes.declared_types import allows_none
from ...config.classes.field_types import Ctx
from ...config.classes.fields import ClassField, is_struct_value
from ...config.errors import ConfigError, Problem
from ...config.short_text import with_article
from ...config.tree import is_dict, is_items
from ...config.validation.readback import (
    HOW_TO_DECLARE,
    container_misread,
    first_misread,
)
from ...config.versioned import has_versions, upgrade
from ..checkpoints.rng import restored_generators
from .blob_markers import is_marker
from .object_kind import Description
from .state_objects import why_not_restored
from .state_text import Split
from .state_tree import StateTree, Waiting
from .stored_files import STATE


def check_state_read_back(
    state: object,
    split: Split,
    tree: Any,
    descriptions: Mapping[str, Description],
    ctx: Ctx | None,
) -> None:
    """Raise ConfigError unless ``tree``, read from the text, restores ``state``.

    ``descriptions`` are those of the objects of ``split``, by their path. Neither the
    content of records nor pending fields are compared.
    """
    cls: Any = type(state)
    if has_versions(cls):
        tree = upgrade(cls, tree)
    rehearsal = _Rehearsal(ctx=dict(ctx or {}), split=split, descriptions=descriptions)
    rehearsal.check(cls, tree)


@dataclass(slots=True, kw_only=True)
class _Rehearsal(StateTree):
    """Restores without files and without objects, and notes problems."""

    split: Split
    descriptions: Mapping[str, Description]
    _problems: list[Problem] = field(default_factory=list[Problem])
    _restored: set[str] = field(default_factory=set[str])

    @property
    def folder(self) -> Path:
        return Path()

    @property
    def text_file(self) -> str:
        return STATE

    def check(self, cls: Any, tree: Any) -> None:
        """Raise ConfigError with every problem and its path."""
        try:
            # Defaults and user-defined classes may draw numbers that no other run
            # draws.
            with restored_generators():
                self.state(cls, tree)
        except ConfigError as error:
            self._problems += [_unreadable(problem) for problem in error.problems]
        if self._problems:
            raise ConfigError(STATE, self._problems)

    def value(self, annotation: Any, tree: Any, path: str) -> Any:
        # Pending fields are copied unchanged, with their files.
        if path in self.split.waiting:
            return None
        return StateTree.value(self, annotation, tree, path)

    def blob(self, path: str) -> Any:
        file, annotation = self._places[path]
        objects = {self.split.files[id(v)]: p for p, v in self.split.blobs.items()}
        if file not in objects:
            text = f"the str {self.split.plain[path]!r:.60} would be read as an object"
            self._problems.append(Problem(path, f"{text}; use a different string"))
        # The path that is restored first makes the object, and others get the same.
        elif file not in self._restored:
            self._restored.add(file)
            value = self.split.blobs[objects[file]]
            reason = why_not_restored(
                self.descriptions[objects[file]], value, annotation
            )
            if reason is not None:
                self._problems.append(Problem(path, reason))
        return None

    def instance(
        self,
        cls: Any,
        values: dict[str, Any],
        waiting: dict[str, Waiting],
        absent: list[ClassField],
    ) -> Any:
        return None

    def struct(self, cls: Any, tree: Any, path: str) -> Any:
        value = self.split.plain.get(path)
        if type(value) is not (get_origin(cls) or cls):
            self._problems.append(_other_class(value, cls.__qualname__, path))
            return None
        return StateTree.struct(self, cls, tree, path)

    def container(self, annotation: Any, tree: Any, path: str) -> Any:
        value = self.split.plain.get(path)
        if is_struct_value(value):
            self._problems.append(_other_class(value, "dict", path))
            return None
        again = StateTree.container(self, annotation, tree, path)
        if not (is_dict(tree) or is_items(tree)):
            return again  # a string like a marker, in a field of strings
        self._note(container_misread(annotation or Any, value, again, path))
        return again

    def checked_plain_data(self, annotation: Any, tree: Any, path: str) -> Any:
        value = self.split.plain.get(path)
        if is_marker(tree) and not isinstance(value, str):
            kind = type(value).__qualname__
            text = f"the {kind} would be read as the str {tree!r:.60}"
            self._problems.append(Problem(path, f"{text}; declare only its class"))
            return None
        try:
            again = StateTree.checked_plain_data(self, annotation, tree, path)
        except ConfigError as error:
            is_absent = value is None and not allows_none(annotation)
            cure = ". Declare the field as `... | None`" if is_absent else ""
            problems = [Problem(p.path, p.message + cure) for p in error.problems]
            raise ConfigError("", problems) from None
        self._note(first_misread(annotation or Any, value, again, path))
        return again

    def _note(self, problem: Problem | None) -> None:
        if problem is not None:
            message = problem.message.removesuffix(", or write RON")
            message = message.replace(HOW_TO_DECLARE, _CURE)
            self._problems.append(Problem(problem.path, message))


_CURE = (
    "Declare its class, or the field as Blob[...], whose record keeps what text cannot"
)


def _other_class(value: object, name: str, path: str) -> Problem:
    kind = type(value).__qualname__
    text = (
        f"the {kind} would be read as {with_article(name)}. Declare a field of class "
        f"{kind}"
    )
    return Problem(path, text)


def _unreadable(problem: Problem) -> Problem:
    return Problem(problem.path, f"cannot be read back: {problem.message}")
