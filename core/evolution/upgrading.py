"""Older records and hyperparameters carried over to the classes of today."""

import copy
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

import torch
from torch import nn

from ...config.errors import ConfigError
from ...config.patterns import is_pattern
from ...config.rewriting.rewrite_rule import RewriteRule, supplies_default
from ...config.short_text import with_article
from ...records.entries.entries import Entries, library_part, path_index, with_parts
from ...records.entries.entry import Entry
from ...records.errors import RecordError, RecordMismatchError, RecordVersionError
from ..errors import HyperparameterError
from ..hyperparameters.hparams_node import VERSION
from ..modules.classes import declared_class, is_of_torch
from ..modules.tree import Places
from ..modules.versions import path_after_rule, rules_of, version_of
from .moved_versions import MovedVersions
from .rule_effects import check_parametrized, computes, names_after
from .tensor_rules import Table, TensorRule, apply_rule
from .upgraded_data import UpgradedData

E = TypeVar("E", bound=Entries)
V = TypeVar("V")


def upgrade_record(record: E, places: Places) -> E:
    """Return ``record`` under the names and in the forms of the module at ``places``.

    The rules of each class are applied from the version that the record has of it (0
    if it says none) to the newest, a parent's before its children's; tensors are
    computed when they are read.  Raises `RecordVersionError` for a newer record.
    """
    try:
        steps = list(_steps(record, places))
        if not steps:
            return record
        table = PathTable(path_index(record))
        data = UpgradedData(record)
        class_versions = MovedVersions(
            record.class_versions, _paths_in(record), _paths_of(places)
        )
        for prefix, rule in steps:
            inside = table.below(prefix)
            check_parametrized(inside, prefix, rule, steps)
            table.replace(prefix, apply_rule(rule, inside))
            class_versions.apply(prefix, rule)
            data.apply(prefix, rule)
        table_now = table.to_dict()
        entries, tree = data.parts_with(entries_of(table_now))
    except (RecordMismatchError, RecordVersionError):
        raise
    except RecordError as error:
        raise RecordMismatchError(record.reading.file, [str(error)]) from error
    renamed = _renames_in(record, table_now) | dict(record.reading.renamed)
    reading = replace(record.reading, renamed=renamed)
    return with_parts(
        record,
        entries=entries,
        tree=tree,
        reading=reading,
        class_versions=class_versions.known(),
    )


def upgrade_paths(
    record: Entries, places: Places, paths: Iterable[str]
) -> dict[str, str | None]:
    """Return where ``paths`` of ``record`` stand in the module, None if deleted."""
    paths_now: dict[str, str | None] = {path: path for path in paths}
    for _ in _followed(_steps(record, places), paths_now):
        pass
    return paths_now


def upgrade_names(
    versions: Mapping[str, Any], places: Places, paths: Iterable[str], file: str
) -> dict[str, str | None]:
    """Return the current paths in the module of ``paths``, as `upgrade_paths` does.

    They belong to no record; they were in ``file``, beside the ``versions`` of the
    classes by path. A class without an entry had version 0.
    """
    paths = [*paths]
    return upgrade_paths(_versions_alone(versions, file, paths), places, paths)


def rewriting_rules(
    versions: Mapping[str, Any], places: Places, paths: Iterable[str], file: str
) -> dict[str, RewriteRule]:
    """Return the first rule that gives each of ``paths`` other values, if one does.

    The arguments are those of `upgrade_names`.
    """
    rules: dict[str, RewriteRule] = {}
    paths_now: dict[str, str | None] = {path: path for path in paths}
    steps = list(_steps(_versions_alone(versions, file, paths_now), places))
    for path, prefix, rule in _followed(steps, paths_now):
        now = paths_now[path] or ""
        if _is_inside(now, prefix) and computes(rule, now[len(prefix) :]):
            rules.setdefault(path, rule)
    return rules


def _followed(
    steps: Iterable[tuple[str, RewriteRule]], paths_now: dict[str, str | None]
) -> Iterator[tuple[str, str, RewriteRule]]:
    """Yield each path with a rule that applies to it, then note its new path.

    ``paths_now`` maps each path to its current one, None once it was deleted.
    """
    for prefix, rule in steps:
        for path, now in paths_now.items():
            if now is not None:
                yield path, prefix, rule
                # What a rule of ours computes keeps its name here: nothing follows it.
                if not isinstance(rule, TensorRule) and _is_inside(now, prefix):
                    names = names_after(rule, now[len(prefix) :])
                    paths_now[path] = prefix + names[0] if names else None


def _is_inside(path: str, prefix: str) -> bool:
    return len(path) > len(prefix) and path.startswith(prefix)


def _versions_alone(
    versions: Mapping[str, Any], file: str, paths: Iterable[str]
) -> Entries:
    """Return a record of ``file`` of blanks at ``paths``, of these versions."""
    below = {path: version for path, version in versions.items() if path}
    ours = {"version": versions.get("", 0), "versions": below}
    blank = torch.empty((), device="meta")
    entries = [Entry(p, "parameter", blank.dtype, (), blank) for p in paths]
    record = Entries.of(entries, metadata={"burnish": ours})
    return with_parts(record, reading=replace(record.reading, file=file))


def upgrade_left_out(
    record: Entries, places: Places, paths: Iterable[str]
) -> frozenset[str]:
    """Return the names in the module of ``paths``, which ``record`` lacks.

    A ``*`` in one matches any number.
    """
    left_out = frozenset(paths)
    for prefix, rule in _steps(record, places) if left_out else ():
        left_out = frozenset(
            name for path in left_out for name in _names_after(path, prefix, rule)
        )
    return left_out


def _names_after(path: str, prefix: str, rule: RewriteRule) -> Iterable[str]:
    """Yield what the values at ``path`` are called after a rule for ``prefix``."""
    if not _is_inside(path, prefix):
        return (path,)
    return (prefix + name for name in names_after(rule, path[len(prefix) :]))


def upgrade_blueprint(
    cls: type[nn.Module],
    data: Mapping[str, Any],
    apply: Callable[[RewriteRule, dict[str, Any]], None],
) -> Mapping[str, Any]:
    """Return a stored blueprint of a ``cls`` as its newest version has it.

    ``apply`` changes arguments, as the blueprint spells them, by a rule.

    Rules change the arguments of the whole, and where the entries of its tape belong;
    what patterns mean is only known once the parts are there.
    """
    rules = rules_of_whole(cls, data)
    tape, arguments = data.get("tape", []), data.get("arguments", {})
    if not rules or not isinstance(tape, list) or not isinstance(arguments, dict):
        return data
    tree: dict[str, Any] = copy.deepcopy({**data, "tape": tape, "arguments": arguments})
    try:
        for rule in rules:
            renamed_items = [_rename_item(item, rule, apply) for item in tree["tape"]]
            tree["tape"] = [item for item in renamed_items if item is not None]
            apply(rule, tree["arguments"])
    except ConfigError as error:
        raise HyperparameterError("arguments", str(error)) from error
    return tree


def rules_of_whole(cls: type[nn.Module], data: Mapping[str, Any]) -> list[RewriteRule]:
    """Return the rules that a ``cls`` has got since its blueprint was stored.

    Raises `RecordVersionError` for one of a newer class.
    """
    newest, version = version_of(cls), data.get(VERSION, 0)
    if type(version) is not int or not 0 <= version <= newest:
        subject = f"the blueprint of {with_article(cls.__qualname__)}"
        raise RecordVersionError("blueprint", version, newest, subject)
    return [r for step in range(version, newest) for r in rules_of(cls).get(step, ())]


def _rename_item(
    item: Any,
    rule: RewriteRule,
    apply: Callable[[RewriteRule, dict[str, Any]], None],
) -> Any:
    """Return an entry of a tape at its new path; None if nothing is left of it."""
    at: Any = item.get("at") if isinstance(item, Mapping) else None
    if not isinstance(at, str | list):
        return item
    arguments: Any = item.get("arguments", {})
    is_of_whole = at == "" and item.get("do") == "set" and isinstance(arguments, dict)
    # An old default is for those of the whole, which an edit says a part of.
    if is_of_whole and not supplies_default(rule):
        apply(rule, cast("dict[str, Any]", arguments))
    paths = [at] if isinstance(at, str) else [p for p in at if isinstance(p, str)]
    new_paths = [
        path_after
        for path in paths
        if (path_after := path if is_pattern(path) else path_after_rule(path, "", rule))
        is not None
    ]
    if not new_paths:
        return None
    return {**item, "at": new_paths[0] if isinstance(at, str) else new_paths}


def _steps(record: Entries, places: Places) -> Iterator[tuple[str, RewriteRule]]:
    """Yield the rules to apply, each with the beginning of the paths it is for."""
    ours = library_part(record.metadata)
    below: Any = ours.get("versions")
    versions: dict[str, Any] = dict(below) if isinstance(below, Mapping) else {}
    versions[""] = ours.get("version", 0)
    moved_versions = MovedVersions(versions, _paths_in(record), _paths_of(places))
    # 5,000 modules pass here at every load, of few classes.
    classes = {kind: declared_class(kind) for kind in {type(m) for _, m in places}}
    newest_versions = {kind: version_of(cls) for kind, cls in classes.items()}
    is_of_whole = bool(places) and (
        record.type_name == classes[type(places[0][1])].__qualname__
    )
    has_parts = is_of_whole and len(versions) > 1
    older_prefixes: list[str] = []
    for prefix, owner in places:
        newest = newest_versions[type(owner)]
        if prefix and not newest and not has_parts:
            continue
        cls = classes[type(owner)]
        # A class that has no version, or has lost it, reads no newer record of itself.
        # Only an older whole, or a class of torch, may have another class in a place.
        is_stored = is_of_whole and not (
            prefix and (is_of_torch(cls) or prefix.startswith(tuple(older_prefixes)))
        )
        if not newest and not is_stored:
            continue
        version = _version_at(moved_versions, prefix, cls, newest, record.reading.file)
        if version < newest:
            older_prefixes.append(prefix)
        for step in range(version, newest):
            for rule in rules_of(cls).get(step, ()):
                yield prefix, rule
                moved_versions.apply(prefix, rule)


def _version_at(
    moved_versions: MovedVersions,
    prefix: str,
    cls: type[nn.Module],
    newest: int,
    file: str,
) -> int:
    """Return the stored version of the ``cls`` at ``prefix``, none of a newer class."""
    try:
        version = moved_versions.at(prefix[:-1])
    except RecordError as error:
        raise RecordMismatchError(file, [str(error)]) from error
    if type(version) is not int or version < 0:
        raise RecordMismatchError(file, [f"{prefix}: {version!r:.40} is not a version"])
    if version > newest:
        place = f" at {prefix[:-1]}" if prefix else ""
        subject = f"the record of {with_article(cls.__qualname__)}{place}"
        raise RecordVersionError(file, version, newest, subject)
    return version


def _paths_in(record: Entries) -> Iterator[str]:
    """Yield the paths of the tensors and of the extra state of a record."""
    for entry in record.entries():
        yield entry.path
        yield from entry.ties
    yield from record.tree or ()


def _paths_of(places: Places) -> frozenset[str]:
    return frozenset(prefix[:-1] for prefix, _ in places)


def entries_of(table: Table) -> list[Entry]:
    """Return each entry once, with all of its paths."""
    paths: dict[int, list[str]] = {}
    entries: dict[int, Entry] = {}
    for path, entry in table.items():
        paths.setdefault(id(entry), []).append(path)
        entries[id(entry)] = entry
    return [
        replace(entry, path=paths[key][0], ties=tuple(paths[key][1:]))
        for key, entry in entries.items()
    ]


def _renames_in(record: Entries, table: Table) -> dict[str, str]:
    new_paths = {id(entry): path for path, entry in reversed(table.items())}
    return {
        entry.path: new_paths[id(entry)]
        for entry in record.entries()
        if id(entry) in new_paths and entry.path not in table
    }


class PathTable(Generic[V]):
    """A dict by path, of which those below a part are found without the rest.

    Thousands of parts may each have a rule, and few tensors.
    """

    def __init__(self, values: Mapping[str, V]) -> None:
        self._values = dict(values)
        self._sorted = sorted(values)
        self._ranks = {path: rank for rank, path in enumerate(values)}
        """The order of the dict."""
        self._next_rank = len(values)

    def below(self, prefix: str) -> dict[str, V]:
        """Return what begins with ``prefix``, by the rest of its path, in order."""
        paths = self._sorted[slice(*self._span(prefix))]
        paths.sort(key=self._ranks.__getitem__)
        return {path[len(prefix) :]: self._values[path] for path in paths}

    def replace(self, prefix: str, values: Mapping[str, V]) -> None:
        """Put ``values``, by the rest of their paths, in place of those `below`.

        They become the last ones, as new keys of a dict do.
        """
        begin, end = self._span(prefix)
        for path in self._sorted[begin:end]:
            del self._values[path], self._ranks[path]
        for relative_path, value in values.items():
            self._values[prefix + relative_path] = value
            self._ranks[prefix + relative_path] = self._next_rank
            self._next_rank += 1
        self._sorted[begin:end] = sorted(
            prefix + relative_path for relative_path in values
        )

    def to_dict(self) -> dict[str, V]:
        """Return all values by path."""
        return dict(self._values)

    def _span(self, prefix: str) -> tuple[int, int]:
        """Return where paths that begin with ``prefix`` lie among the sorted ones."""
        if not prefix:
            return 0, len(self._sorted)
        begin = bisect_left(self._sorted, prefix)
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return begin, bisect_left(self._sorted, after, begin)
