"""Rules for tensors that a refactoring fuses, splits, stacks or transposes.

They are listed beside the rules of `burnish.config` in ``upgrade_rules``. Paths are
those of a record, below the class with the rules; ``*`` matches any one part, and has
the same value in the new name.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...config.errors import ConfigError
from ...config.path import join, parts
from ...config.patterns import fill_wildcards, n_wildcards, wildcard_values
from ...config.rewriting.rewrite_rule import RewriteRule, put_entry
from ...config.short_text import short_repr
from ...records.entries.entry import Entry
from ...records.errors import RecordError
from ..state.loading.derived import Cut, Joined, StackedTensors, Taken, Turned, derive

Table: TypeAlias = dict[str, Entry]
"""Entries by path; a tied one is at each of its paths."""

Named: TypeAlias = Sequence[tuple[str, Entry]]
"""New entries with their paths, two of which may be equal by mistake."""


class TensorRule(RewriteRule):
    """A rule that computes new tensors from old ones, when they are read."""

    __slots__ = ()

    def apply_to_entries(
        self,
        entries: Mapping[str, Any],
        derive: Callable[[Any, Callable[[Any], Any]], Any],
    ) -> dict[str, Any]:
        """Return the result of `rewrite`, which derives entries itself."""
        return self.rewrite(dict(entries))

    @abstractmethod
    def rewrite(self, table: Table) -> Table:
        """Return the entries under their new names.

        Entries that the rule does not affect are unchanged. Raises `RecordError` for
        tensors that it cannot be applied to, and `ConfigError` for two of one name.
        """

    def names_after(self, path: str) -> tuple[str, ...]:
        """Return the new names of the values at ``path``; a ``*`` matches any number.

        This is called for tensors that a record was saved or opened without.
        """
        return (path,)

    def concerns(self, path: str) -> bool:
        """Return whether the rule changes the tensor at ``path``."""
        return self.names_after(path) != (path,)


@dataclass(frozen=True, slots=True, repr=False)
class SplitTensor(TensorRule):
    """Split one tensor into several: a fused ``qkv.weight`` into q, k and v."""

    field: str
    into: Sequence[str]
    dim: int = 0
    sizes: Sequence[int] | None = None
    """The sizes of the pieces along ``dim``; None: all equal."""

    def __post_init__(self) -> None:
        _keep_names(self, "into")
        _check_names(self, self.field, *self.into)

    def rewrite(self, table: Table) -> Table:
        """Replace the tensor by its pieces."""
        return _each(self, table, self.field, self._pieces)

    def names_after(self, path: str) -> tuple[str, ...]:
        """Return the names of the pieces of the tensor."""
        return _renamed(path, [self.field], self.into)

    def _pieces(self, entry: Entry, wildcards: tuple[str, ...]) -> Named:
        length = _length(entry, self.dim, self)
        even = [length // len(self.into)] * len(self.into)
        sizes = list(self.sizes) if self.sizes is not None else even
        if sum(sizes) != length or len(sizes) != len(self.into):
            raise _misfit(self, entry, f"cannot be split into {sizes}")
        pieces: list[tuple[str, Entry]] = []
        start = 0
        for name, size in zip(self.into, sizes, strict=True):
            cut = Cut(self.dim, start, size)
            pieces.append((_fill_pattern(name, wildcards), derive([entry], cut)))
            start += size
        return pieces


@dataclass(frozen=True, slots=True, repr=False)
class MergeTensors(TensorRule):
    """Concatenate several tensors: q, k and v into a fused one."""

    fields: Sequence[str]
    into: str
    dim: int = 0

    def __post_init__(self) -> None:
        _keep_names(self, "fields")
        _check_names(self, self.into, *self.fields)

    def rewrite(self, table: Table) -> Table:
        """Replace the tensors by their concatenation."""
        merged: list[tuple[str, Entry]] = []
        part_paths: set[str] = set()
        for wildcards in _bindings(table, self.fields):
            names = [_fill_pattern(name, wildcards) for name in self.fields]
            lacking = [name for name in names if name not in table]
            if lacking:
                present_name = next(name for name in names if name in table)
                raise RecordError(
                    f"{self}: the record has {present_name} but not {lacking[0]}"
                )
            fused_entry = derive([table[name] for name in names], Joined(self.dim))
            merged.append((_fill_pattern(self.into, wildcards), fused_entry))
            part_paths.update(names)
        return _exchanged(self, table, part_paths, merged)

    def names_after(self, path: str) -> tuple[str, ...]:
        """Return the name of the tensor that this one becomes a part of."""
        return _renamed(path, self.fields, [self.into])


@dataclass(frozen=True, slots=True, repr=False)
class TransposeTensor(TensorRule):
    """Transpose two dimensions: the weight of a ``Conv1D`` for that of a ``Linear``."""

    field: str
    dims: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        _check_names(self, self.field)

    def rewrite(self, table: Table) -> Table:
        """Replace the tensor by its transpose."""
        return _each(self, table, self.field, self._transpose)

    def concerns(self, path: str) -> bool:
        """Return whether the rule transposes the tensor at ``path``."""
        return _renamed(path, [self.field], [f"{self.field}.T"]) != (path,)

    def _transpose(self, entry: Entry, wildcards: tuple[str, ...]) -> Named:
        for dim in self.dims:
            _length(entry, dim, self)
        turned = derive([entry], Turned(*self.dims))
        return [(_fill_pattern(self.field, wildcards), turned)]


@dataclass(frozen=True, slots=True, repr=False)
class StackTensors(TensorRule):
    """Stack the tensors of numbered layers: ``layers.*.w`` into ``w``.

    The last ``*`` of ``fields`` is the number; the others are in ``into`` as well.
    """

    fields: str
    into: str
    dim: int = 0

    def __post_init__(self) -> None:
        _check_stack(self, self.fields, self.into)

    def rewrite(self, table: Table) -> Table:
        """Replace the tensors by their stack."""
        groups: dict[tuple[str, ...], list[tuple[int, str]]] = {}
        for path in table:
            wildcards = wildcard_values(parts(self.fields), path.split("."))
            if wildcards is not None and wildcards[-1].isdecimal():
                groups.setdefault(wildcards[:-1], []).append((int(wildcards[-1]), path))
        layer_paths: set[str] = set()
        stacks: list[tuple[str, Entry]] = []
        for outer_wildcards, numbered in groups.items():
            paths = [path for _, path in sorted(numbered)]
            if [number for number, _ in sorted(numbered)] != list(range(len(paths))):
                raise RecordError(f"{self}: the numbers of {paths[0]} have gaps")
            entries = [table[path] for path in paths]
            stack = derive(entries, StackedTensors(self.dim))
            stacks.append((_fill_pattern(self.into, outer_wildcards), stack))
            layer_paths.update(paths)
        return _exchanged(self, table, layer_paths, stacks)

    def names_after(self, path: str) -> tuple[str, ...]:
        """Return the name of the stack that the tensor becomes a part of."""
        return _renamed(path, [self.fields], [self.into], lambda values: values[:-1])


@dataclass(frozen=True, slots=True, repr=False)
class UnstackTensor(TensorRule):
    """Unstack ``field`` into numbered layers: ``into`` has a ``*`` for the number."""

    field: str
    into: str
    dim: int = 0

    def __post_init__(self) -> None:
        _check_stack(self, self.into, self.field)

    def rewrite(self, table: Table) -> Table:
        """Replace the stack by its tensors."""
        return _each(self, table, self.field, self._layers)

    def names_after(self, path: str) -> tuple[str, ...]:
        """Return the name of the stack's layers, whose number is unknown."""
        return _renamed(path, [self.field], [self.into], lambda values: (*values, "*"))

    def _layers(self, entry: Entry, wildcards: tuple[str, ...]) -> Named:
        return [
            (
                _fill_pattern(self.into, (*wildcards, str(i))),
                derive([entry], Taken(self.dim, i)),
            )
            for i in range(_length(entry, self.dim, self))
        ]


def apply_rule(rule: RewriteRule, table: Table) -> Table:
    """Return ``table`` after ``rule``; rules for plain values change nothing."""
    # Any object with `apply` and `rename` is a rule; the base class handles it.
    apply = getattr(type(rule), "apply_to_entries", RewriteRule.apply_to_entries)
    try:
        changed: Table = apply(rule, table, _derive)
    except ConfigError as error:
        raise RecordError(str(error)) from error
    return changed


def _derive(entry: Entry, function: Callable[[Any], Any]) -> Entry:
    return derive([entry], lambda tensors: function(tensors[0]))


def _each(
    rule: TensorRule,
    table: Table,
    pattern: str,
    replace_entry: Callable[[Entry, tuple[str, ...]], Named],
) -> Table:
    """Return the table with every entry matching ``pattern`` replaced."""
    replaced_paths: set[str] = set()
    new_entries: list[tuple[str, Entry]] = []
    names = parts(pattern)
    for path, entry in table.items():
        wildcards = wildcard_values(names, path.split("."))
        if wildcards is not None:
            replaced_paths.add(path)
            new_entries += replace_entry(entry, wildcards)
    return _exchanged(rule, table, replaced_paths, new_entries)


def _exchanged(
    rule: TensorRule, table: Table, old_paths: Collection[str], new_entries: Named
) -> Table:
    """Return the table with the entries at ``old_paths`` replaced by ``new_entries``.

    Raises ConfigError for one whose path another entry has.
    """
    new_table = {path: entry for path, entry in table.items() if path not in old_paths}
    for path, entry in new_entries:
        put_entry(rule, new_table, path, entry)
    return new_table


def _renamed(
    path: str,
    patterns: Sequence[str],
    names: Sequence[str],
    fit: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda values: values,
) -> tuple[str, ...]:
    """Return ``names`` with the values of a pattern's wildcards in ``path``."""
    for pattern in patterns:
        wildcards = wildcard_values(parts(pattern), path.split("."))
        if wildcards is not None:
            return tuple(_fill_pattern(name, fit(wildcards)) for name in names)
    return (path,)


def _bindings(
    table: Mapping[str, Entry], fields: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the values of the wildcards of any of ``fields``, each once."""
    matches = (
        wildcard_values(parts(f), path.split(".")) for path in table for f in fields
    )
    return list(dict.fromkeys(f for f in matches if f is not None))


def _fill_pattern(pattern: str, wildcards: tuple[str, ...]) -> str:
    return join(*fill_wildcards(parts(pattern), wildcards))


def _length(entry: Entry, dim: int, rule: RewriteRule) -> int:
    if not -len(entry.shape) <= dim < len(entry.shape):
        raise _misfit(rule, entry, f"has no dimension {dim}")
    return entry.shape[dim]


def _misfit(rule: RewriteRule, entry: Entry, problem: str) -> RecordError:
    shape = tuple(entry.shape)
    return RecordError(f"{rule}: {entry.path} of shape {shape} {problem}")


def _keep_names(rule: RewriteRule, name: str) -> None:
    """Store the names in the field ``name``, as a tuple that can be read repeatedly.

    Raises TypeError for a single name, and for anything but names.
    """
    names: object = getattr(rule, name)
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise TypeError(
            f"{type(rule).__name__}: {name} must be a list of names, as ['q', 'k'], "
            f"got {short_repr(names)}"
        )
    if not isinstance(names, Sequence):
        object.__setattr__(rule, name, tuple(names))


def _check_names(rule: RewriteRule, first_name: str, *more_names: str) -> None:
    counts = {n_wildcards(parts(name)) for name in (first_name, *more_names)}
    if len(counts) > 1:
        raise ValueError(f"{rule!r}: all names need equally many wildcards")


def _check_stack(rule: RewriteRule, numbered: str, stack: str) -> None:
    if n_wildcards(parts(numbered)) != n_wildcards(parts(stack)) + 1:
        raise ValueError(f"{rule!r}: the numbered name has one '*' more than the stack")


__all__ = [
    "MergeTensors",
    "SplitTensor",
    "StackTensors",
    "Table",
    "TensorRule",
    "TransposeTensor",
    "UnstackTensor",
    "apply_rule",
]
