"""Old files tried with a class: loading decides what a change really does to them."""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, Problem
from ..fields import (
    fields_of,
    is_mapping,
    is_sequence,
    is_struct,
    is_struct_value,
    item_type,
    members,
)
from ..path import bind, index_of, parts
from ..readback import difference
from ..rules import (
    AddDefault,
    ChangeDefault,
    CheckValue,
    DeleteField,
    MapFieldValue,
    RejectValues,
    RenameField,
    RewriteRule,
)
from ..tree import Struct, is_dict, is_items, is_mapping_value
from ..validate import build
from ..versioned import Rules
from . import types as t
from .samples import Sample, plain, samples_of

_BUILT_IN = (
    RenameField,
    DeleteField,
    AddDefault,
    ChangeDefault,
    MapFieldValue,
    CheckValue,
    RejectValues,
)

_OF_VALUES = frozenset(
    {
        "rule",
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
        "multiple_of",
        "finite_number",
        "string_pattern_mismatch",
        "string_too_short",
        "string_too_long",
        "too_short",
        "too_long",
        "value_error",
        "assertion_error",
    }
)
"""Problems of a made-up value, or of a value that a rule refuses on purpose."""

Path = tuple[str, ...]

LOST = object()
"""Stands for an item that a container does not have any more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an old file at one place."""

    path: Path
    """Where, by the names that fields have after the class's own rules."""

    message: str


@dataclass(frozen=True, slots=True)
class Moves:
    """Rules of one struct, and where the struct stands."""

    path: Path

    own: Sequence[RewriteRule]
    """Those that its class has."""

    proposed: Sequence[RewriteRule]
    """Those that are tried after them."""

    @property
    def rules(self) -> Sequence[RewriteRule]:
        """All, in the order in which they are applied."""
        return [*self.own, *self.proposed]


@dataclass(frozen=True, slots=True)
class Trial:
    """Samples of an old schema, to be read by ``cls`` with some more rules."""

    cls: type
    old: t.Struct
    moves: Sequence[Moves]
    """What the rules that are tried do to paths, those of the classes included."""

    added: Rules

    def findings(self) -> list[Finding]:
        """Return what is wrong, one thing a place."""
        found: dict[Path, Finding] = {}
        for sample in samples_of(self.old):
            for form in self._forms(sample):
                for finding in self._tried(form.tree, form.meaning, sample.meaning):
                    found.setdefault(finding.path, finding)
        return list(found.values())

    def _forms(self, sample: Sample) -> list[Sample]:
        """Return the sample as JSON has it, and as RON where that says more."""
        bare = plain(sample)
        return [bare, sample] if _has_union(self.old) else [bare]

    def _tried(self, tree: Any, meaning: Any, named: Any) -> Iterator[Finding]:
        read: list[Any] = []
        for text in (tree, meaning):
            try:
                read.append(build(self.cls, text, added=self.added))
            except ConfigError as error:
                yield from self._failures(error.problems)
            except Exception:  # a user's rule or validator may raise anything
                return
        if len(read) < 2:
            return
        # A class may not check its own defaults, so one of the two may be loose.
        problem = difference(self.cls, read[1], read[0], "")
        if problem is not None and difference(self.cls, read[0], read[1], ""):
            yield Finding(parts_of(problem.path), "left out, it meant another value")
        if self._is_told:
            yield from self._changed(named, read[1])

    def _failures(self, problems: Sequence[Problem]) -> Iterator[Finding]:
        for problem in problems:
            path = parts_of(problem.path)
            # The number of a tuple's items is its type, that of a list's a bound.
            is_type = problem.kind not in _OF_VALUES or "Tuple" in problem.message
            if is_type and not self._is_mapped(path):
                yield Finding(path, problem.message)

    def _changed(self, named: Any, value: Any) -> Iterator[Finding]:
        for path, kind, tree in _expected(self.old, named, ()):
            moved = self._moved(path)
            place = None if moved is None else _find(value, self.cls, moved)
            if moved is None or place is None:
                continue
            if not _means(kind, tree, *place):
                yield Finding(moved, f"{tree!r:.40} would be read as {place[0]!r:.40}")

    @property
    def _is_told(self) -> bool:
        """Return whether the rules say where each value goes."""
        return all(isinstance(r, _BUILT_IN) for m in self.moves for r in m.rules)

    def _moved(self, path: Path) -> Path | None:
        """Return where the value at ``path`` is now; None if that cannot be said."""
        for move in self.moves:
            n_parts = len(move.path)
            if bind(move.path, path[:n_parts]) is None:
                continue
            below = ".".join(path[n_parts:])
            for rule in move.rules if below else ():
                if isinstance(rule, MapFieldValue) and _is_under(
                    rule.field, tuple(below.split("."))
                ):
                    return None
                renamed = rule.rename(below)
                if renamed is None and rule in move.own:
                    return None
                # What we propose to delete may be another class's field of that name.
                below = renamed or below
            path = (*path[:n_parts], *below.split(".")) if below else path
        return path

    def _is_mapped(self, path: Path) -> bool:
        """Return whether a user's function has computed the value at ``path``.

        Of a made-up value it may make anything.
        """
        return any(_is_under((*m.path, *p), path) for m in self.moves for p in _maps(m))


def parts_of(path: str) -> Path:
    """Return the parts of an error's path."""
    return parts(path) if path else ()


def _has_union(kind: t.Type) -> bool:
    """Return whether the names of structs may tell what their fields do not."""
    match kind:
        case t.Option(inner) | t.List(inner) | t.Dict(_, inner):
            return _has_union(inner)
        case t.Tuple(kinds):
            return any(map(_has_union, kinds))
        case t.Struct():
            return any(_has_union(below.type) for below in kind.fields.values())
        case _:
            return isinstance(kind, t.Union)


def _maps(move: Moves) -> Iterator[Path]:
    """Yield where the results of mappings are, after the rules that follow them."""
    for i, rule in enumerate(move.own):
        if isinstance(rule, MapFieldValue):
            path: str | None = ".".join(rule.field)
            for later in move.rules[i + 1 :]:
                path = None if path is None else later.rename(path)
            if path is not None:
                yield tuple(path.split("."))


def _is_under(pattern: Sequence[str], path: Path) -> bool:
    lengths = range(len(path) + 1)
    return any(bind(pattern, path[:n]) is not None for n in lengths)


def _expected(
    kind: t.Type, tree: Any, path: Path
) -> Iterator[tuple[Path, t.Type, Any]]:
    """Yield the values in ``tree`` of which it is known what they must stay."""
    match kind:
        case t.Option(inner) if tree is not None:
            yield from _expected(inner, tree, path)
        case t.Struct() if is_dict(tree):
            yield path, kind, tree
            for name, below in kind.fields.items():
                if name in tree:
                    yield from _expected(below.type, tree[name], (*path, name))
        case t.Union(kinds) if isinstance(tree, Struct):
            named = (
                k for k in kinds if isinstance(k, t.Struct) and k.name == tree.name
            )
            for one in named:
                yield from _expected(one, tree, path)
        case t.List(inner) if is_items(tree):
            for i, item in enumerate(tree):
                yield from _expected(inner, item, (*path, str(i)))
        case t.Tuple(kinds) if is_items(tree):
            for i, (part, item) in enumerate(zip(kinds, tree, strict=False)):
                yield from _expected(part, item, (*path, str(i)))
        case t.Dict(_, inner) if is_dict(tree):
            for key, item in tree.items():
                yield from _expected(inner, item, (*path, str(key)))
        case t.Primitive() | t.Enum() | t.Literal():
            yield path, kind, tree
        case _:
            return


def _find(value: Any, annotation: Any, path: Path) -> tuple[Any, Any] | None:
    """Return what stands at ``path`` in an object, and how it is declared."""
    for name in path:
        kinds = members(annotation)
        if is_struct_value(value):
            fields = fields_of(type(value)).values()
            field = next((f for f in fields if name in f.names), None)
            if field is None:
                return None
            value, annotation = getattr(value, field.attribute), field.annotation
        elif is_mapping_value(value):
            key = next((k for k in value if str(k) == name), name)
            kind = next((m for m in kinds if is_mapping(m)), Any)
            value, annotation = value.get(key, LOST), item_type(kind, key)
        elif is_items(value) and (i := index_of(name)) is not None:
            kind = next((m for m in kinds if is_sequence(m)), Any)
            value = value[i] if i < len(value) else LOST
            annotation = item_type(kind, i)
        else:
            return None
    return value, annotation


def _means(kind: t.Type, tree: Any, value: Any, annotation: Any) -> bool:
    """Return whether ``value`` is what ``tree`` was, as far as they can be compared."""
    if value is LOST:
        return False
    if isinstance(kind, t.Struct):
        names = [m.__name__ for m in members(annotation) if is_struct(m)]
        return kind.name not in names or type(value).__name__ == kind.name
    if isinstance(kind, t.Enum) and isinstance(value, enum.Enum):
        return _is_one_member(kind, tree, value)
    if isinstance(tree, int | float) and isinstance(value, int | float):
        return tree == value or tree != tree
    if isinstance(tree, str) and isinstance(value, str):
        return tree == str(value) or isinstance(value, enum.Enum)
    return True


def _is_one_member(old: t.Enum, tree: Any, member: enum.Enum) -> bool:
    """Return whether an old value is read as its member, or as one renamed since."""
    names = {n for n, v in old.variants.items() if v == tree and type(v) is type(tree)}
    if member.name in names:
        return True
    are_gone = not names & type(member).__members__.keys()
    return are_gone and member.name not in old.variants
