"""Trials of old files with a class: loading shows what a change does to them."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from ..errors import ConfigError, Problem
from ..path import parts
from ..patterns import wildcard_values
from ..process.interrupts import raise_of_signal
from ..rewriting import schema_types as t
from ..rewriting.rewrite_rule import RewriteRule
from ..rewriting.tree_edit import NO_MOVE
from ..short_text import short_repr
from ..validation.own_types import OWN_TYPE
from ..validation.readback import first_misread
from ..validation.validate import build
from ..versioned import Rules
from .meaning import Path, expected, means, value_at
from .samples import Sample, as_json, is_known, meaning_of, samples_of

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
"""Problems of a generated value, or of a value that a rule refuses on purpose."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of an old file at one path."""

    path: Path
    """The path, with the names that fields have after the class's own rules."""

    message: str


@dataclass(frozen=True, slots=True)
class Moves:
    """Rules of one struct, and the path of the struct."""

    name: str
    """The struct's old name, since one of another name may be at the same path."""

    path: Path

    own: Sequence[RewriteRule]
    """The rules of its class."""

    proposed: Sequence[RewriteRule]
    """The rules that are tried after them."""

    @property
    def rules(self) -> Sequence[RewriteRule]:
        """All rules, in the order in which they are applied."""
        return [*self.own, *self.proposed]


@dataclass(frozen=True, slots=True)
class Trial:
    """Samples of an old schema, to be read by ``cls`` with additional rules."""

    cls: type
    old: t.Struct
    new: t.Struct
    moves: Sequence[Moves]
    """The effect on paths of the tried rules, and of those of the classes."""

    added: Rules

    def findings(self) -> list[Finding]:
        """Return the problems, at most one for each path."""
        by_place: dict[Path, Finding] = {}
        for sample in samples_of(self.old):
            for form, named_tree in self._forms(sample):
                for finding in self._try(form.tree, form.meaning, named_tree):
                    by_place.setdefault(finding.path, finding)
        return list(by_place.values())

    def _forms(self, sample: Sample) -> Iterator[tuple[Sample, object]]:
        """Yield the sample as in JSON, and as in RON where that has more information.

        Each comes with its meaning, in which structs are named.
        """
        yield as_json(sample), meaning_of(self.old, sample.bare)
        if _has_union(self.old):
            yield sample, sample.meaning

    def _try(
        self, tree: object, meaning: object, named_tree: object
    ) -> Iterator[Finding]:
        read: list[object] = []
        # Once with defaults omitted, and once with every default written out: both must
        # give equal objects, or a default has changed for files that omit it.
        for text in (tree, meaning):
            try:
                read.append(build(self.cls, text, added=self.added))
            except ConfigError as error:
                yield from self._failures(error.problems)
            except Exception as error:
                raise_of_signal(error)
                # A user's rule or validator may raise anything. Its failure on
                # generated values proves nothing.
                return
        if len(read) < 2:
            return
        # A class may not validate its own defaults, so one of the two may be
        # unconverted.
        problem = first_misread(self.cls, read[1], read[0], "")
        if problem is not None and first_misread(self.cls, read[0], read[1], ""):
            path = error_path(problem.path)
            if not self._is_as_before(path):
                yield Finding(path, "left out, it meant a different value")
        if self._is_told:
            yield from self._misread_values(named_tree, read[1])

    def _failures(self, problems: Sequence[Problem]) -> Iterator[Finding]:
        for problem in problems:
            path = error_path(problem.path)
            if problem.kind == NO_MOVE:
                # The values do not matter here: for instance two fields have the same
                # name.
                yield Finding(path, problem.message)
                continue
            if problem.kind == OWN_TYPE:
                # For such data only defaults are known; all other values were
                # generated.
                if self._is_old_default(path) and not self._refuses_itself(path):
                    yield Finding(path, problem.message)
                continue
            # The number of a tuple's items is part of its type; that of a list is a
            # bound.
            is_type = problem.kind not in _OF_VALUES or "Tuple" in problem.message
            # A mapping does nothing where there is no value.
            computed = path[:-1] if problem.kind == "missing" else path
            is_open = self._is_mapped(computed) or self._is_as_before(path)
            if is_type and not is_open:
                yield Finding(path, problem.message)

    def _misread_values(self, named_tree: object, value: object) -> Iterator[Finding]:
        names: dict[Path, str] = {}
        for path, kind, tree in expected(self.old, named_tree, ()):
            if isinstance(kind, t.Struct):
                names[path] = kind.name
            above = {names.get(path[:n], "") for n in range(len(path))}
            new_path = self._new_path(path, above)
            place = None if new_path is None else value_at(value, self.cls, new_path)
            if new_path is None or place is None:
                continue
            if self._is_as_before(new_path):
                continue
            if not means(kind, tree, *place):
                yield Finding(
                    new_path,
                    f"{short_repr(tree, 40)} would be read as "
                    f"{short_repr(place[0], 40)}",
                )

    @property
    def _is_told(self) -> bool:
        """Return whether the rules determine where each value goes."""
        rules = [rule for move in self.moves for rule in move.rules]
        return all(getattr(rule, "tells_every_move", False) for rule in rules)

    def _new_path(self, path: Path, above: Set[str] | None = None) -> Path | None:
        """Return the new path of the value at ``path``; None if it is unknown.

        ``above`` are the names of the structs around it, as far as they are known.
        """
        for move in self.moves:
            n_parts = len(move.path)
            if above is not None and move.name not in above:
                continue
            if wildcard_values(move.path, path[:n_parts]) is None:
                continue
            below = ".".join(path[n_parts:])
            for rule in move.rules if below else ():
                computed = _computed_field(rule)
                if computed and _is_under(computed, tuple(below.split("."))):
                    return None
                renamed = rule.rename(below)
                if renamed is None and rule in move.own:
                    return None
                # A field that we propose to delete may exist in another class.
                below = renamed or below
            path = (*path[:n_parts], *below.split(".")) if below else path
        return path

    def _is_as_before(self, path: Path) -> bool:
        """Return whether the value at ``path`` is unchanged, default included.

        Then it is read as before, and a refused value was generated badly.
        """
        if self._new_path(path) != path:
            return False
        old_kind: t.Type = self.old
        new_kind: t.Type = self.new
        for name in path:
            if _is_one(old_kind, new_kind):
                return True
            if not (isinstance(old_kind, t.Struct) and isinstance(new_kind, t.Struct)):
                return False
            before, now = old_kind.fields.get(name), new_kind.fields.get(name)
            if before is None or now is None:
                return False
            if not _is_one(replace(before, type=now.type), now):
                return False
            old_kind, new_kind = before.type, now.type
        return _is_one(old_kind, new_kind)

    def _is_old_default(self, path: Path) -> bool:
        """Return whether old files have a default of unknown type at ``path``.

        Its data was written by the old class.
        """
        places = map(self._new_path, _places_of_unknown_defaults(self.old, ()))
        is_there = any(place is not None and _is_under(place, path) for place in places)
        return is_there and not self._is_mapped(path)

    def _refuses_itself(self, path: Path) -> bool:
        """Return whether the class cannot read its own defaults at ``path`` either.

        It may need a ``ctx`` that only a program has, so this proves nothing.
        """
        for sample in samples_of(self.new):
            try:
                build(self.cls, as_json(sample).meaning)
            except ConfigError as error:
                return any(error_path(p.path) == path for p in error.problems)
            except Exception as error:  # a user's validator may raise anything
                raise_of_signal(error)
                return True
        return False

    def _is_mapped(self, path: Path) -> bool:
        """Return whether a user's function has computed the value at ``path``.

        Its result for a generated value is meaningless.
        """
        return any(_is_under((*m.path, *p), path) for m in self.moves for p in _maps(m))


def error_path(path: str) -> Path:
    """Return the parts of an error's path."""
    return parts(path) if path else ()


def _places_of_unknown_defaults(kind: t.Type, path: Path) -> Iterator[Path]:
    """Yield the paths of defaults for which no other values can be generated."""
    match kind:
        case t.Struct():
            for name, below in kind.fields.items():
                place = (*path, name)
                yield from _places_of_unknown_defaults(below.type, place)
                if below.has_default and not is_known(below.type):
                    yield place
        case t.Option(inner):
            yield from _places_of_unknown_defaults(inner, path)
        case t.List(inner) | t.Dict(_, inner):
            yield from _places_of_unknown_defaults(inner, (*path, "*"))
        case _:
            return


def _is_one(a: object, b: object) -> bool:
    """Return whether two parts of schemas are equal, with defaults of equal types."""
    return a == b and repr(a) == repr(b)


def _has_union(kind: t.Type) -> bool:
    """Return whether the names of structs may show what their fields do not."""
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
    """Yield the paths of the results of mappings, after the rules that follow them."""
    for i, rule in enumerate(move.own):
        computed = _computed_field(rule)
        if computed is not None:
            path: str | None = ".".join(computed)
            for later in move.rules[i + 1 :]:
                path = None if path is None else later.rename(path)
            if path is not None:
                yield tuple(path.split("."))


def _computed_field(rule: RewriteRule) -> Path | None:
    # Any object with `apply` and `rename` is a rule.
    field: Path | None = getattr(rule, "computed_field", None)
    return field


def _is_under(pattern: Sequence[str], path: Path) -> bool:
    lengths = range(len(path) + 1)
    return any(wildcard_values(pattern, path[:n]) is not None for n in lengths)
