"""Old files tried with a class: loading decides what a change really does to them."""

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
"""Problems of a made-up value, or of a value that a rule refuses on purpose."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an old file at one place."""

    path: Path
    """Where, by the names that fields have after the class's own rules."""

    message: str


@dataclass(frozen=True, slots=True)
class Moves:
    """Rules of one struct, and where the struct stands."""

    name: str
    """What the struct was called: in the same place one of another name may stand."""

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
    new: t.Struct
    moves: Sequence[Moves]
    """What the rules that are tried do to paths, those of the classes included."""

    added: Rules

    def findings(self) -> list[Finding]:
        """Return what is wrong, one thing a place."""
        by_place: dict[Path, Finding] = {}
        for sample in samples_of(self.old):
            for form, named_tree in self._forms(sample):
                for finding in self._try(form.tree, form.meaning, named_tree):
                    by_place.setdefault(finding.path, finding)
        return list(by_place.values())

    def _forms(self, sample: Sample) -> Iterator[tuple[Sample, object]]:
        """Yield the sample as JSON has it, and as RON where that says more.

        With each goes what it meant, with the names of structs.
        """
        yield as_json(sample), meaning_of(self.old, sample.bare)
        if _has_union(self.old):
            yield sample, sample.meaning

    def _try(
        self, tree: object, meaning: object, named_tree: object
    ) -> Iterator[Finding]:
        read: list[object] = []
        # Once as a file says it, and once with every default written out: both must be
        # one object, or a default has changed under files that leave it out.
        for text in (tree, meaning):
            try:
                read.append(build(self.cls, text, added=self.added))
            except ConfigError as error:
                yield from self._failures(error.problems)
            except Exception as error:
                raise_of_signal(error)
                # A user's rule or validator may raise anything.
                # It fails on values that we made up, and that proves nothing.
                return
        if len(read) < 2:
            return
        # A class may not check its own defaults, so one of the two may be loose.
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
                # Whatever the values are: two fields of one name, say.
                yield Finding(path, problem.message)
                continue
            if problem.kind == OWN_TYPE:
                # Of such data only defaults are known; all else was made up.
                if self._is_old_default(path) and not self._refuses_itself(path):
                    yield Finding(path, problem.message)
                continue
            # The number of a tuple's items is its type, that of a list's a bound.
            is_type = problem.kind not in _OF_VALUES or "Tuple" in problem.message
            # Where nothing is, a mapping computes nothing.
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
        """Return whether the rules say where each value goes."""
        rules = [rule for move in self.moves for rule in move.rules]
        return all(getattr(rule, "tells_every_move", False) for rule in rules)

    def _new_path(self, path: Path, above: Set[str] | None = None) -> Path | None:
        """Return where the value at ``path`` is now; None if that cannot be said.

        ``above`` are the names of the structs that it is in, where they are known.
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
                # What we propose to delete may be another class's field of that name.
                below = renamed or below
            path = (*path[:n_parts], *below.split(".")) if below else path
        return path

    def _is_as_before(self, path: Path) -> bool:
        """Return whether what stood at ``path`` stands there still, default and all.

        Then it is read as ever, and a value that is refused was badly made up.
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
        """Return whether old files have a default at ``path`` whose type is not known.

        Its data is what the old class wrote.
        """
        places = map(self._new_path, _places_of_unknown_defaults(self.old, ()))
        is_there = any(place is not None and _is_under(place, path) for place in places)
        return is_there and not self._is_mapped(path)

    def _refuses_itself(self, path: Path) -> bool:
        """Return whether the class does not read its own defaults at ``path`` either.

        It may ask for a ``ctx`` that only a program has, so nothing follows.
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

        Of a made-up value it may make anything.
        """
        return any(_is_under((*m.path, *p), path) for m in self.moves for p in _maps(m))


def error_path(path: str) -> Path:
    """Return the parts of an error's path."""
    return parts(path) if path else ()


def _places_of_unknown_defaults(kind: t.Type, path: Path) -> Iterator[Path]:
    """Yield where defaults stand of which no other values can be made up."""
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
    """Return whether two parts of schemas are equal, and their defaults to the type."""
    return a == b and repr(a) == repr(b)


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
        computed = _computed_field(rule)
        if computed is not None:
            path: str | None = ".".join(computed)
            for later in move.rules[i + 1 :]:
                path = None if path is None else later.rename(path)
            if path is not None:
                yield tuple(path.split("."))


def _computed_field(rule: RewriteRule) -> Path | None:
    # What has `apply` and `rename` is a rule too.
    field: Path | None = getattr(rule, "computed_field", None)
    return field


def _is_under(pattern: Sequence[str], path: Path) -> bool:
    lengths = range(len(path) + 1)
    return any(wildcard_values(pattern, path[:n]) is not None for n in lengths)
