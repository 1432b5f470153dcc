"""Older records and hyperparameters carried over to the classes of today."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from torch import nn

from ...config.errors import ConfigError
from ...config.patterns import is_pattern, wildcard_values
from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.short_text import with_article
from ...records.entries.entries import Entries, library_part, path_index, with_parts
from ...records.entries.entry import Entry
from ...records.errors import RecordError, RecordMismatchError, RecordVersionError
from ..errors import HyperparameterError
from ..hyperparameters.hparams_node import VERSION
from ..modules.classes import declared_class
from ..modules.tree import Places
from ..modules.versions import path_after_rule, rules_of, version_of
from .tensor_rules import Table, TensorRule, apply_rule
from .upgraded_data import UpgradedData

E = TypeVar("E", bound=Entries)


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
        table: Table = dict(path_index(record))
        data = UpgradedData(record)
        class_versions = dict(record.class_versions)
        for prefix, rule in steps:
            _check_parametrized(table, prefix, rule, steps)
            table = _within(table, prefix, rule)
            class_versions = _versions_after(class_versions, prefix, rule)
            data.apply(prefix, rule)
        entries, tree = data.parts_with(entries_of(table))
    except (RecordMismatchError, RecordVersionError):
        raise
    except RecordError as error:
        raise RecordMismatchError(record.reading.file, [str(error)]) from error
    renamed = _renames_in(record, table) | dict(record.reading.renamed)
    reading = replace(record.reading, renamed=renamed)
    return with_parts(
        record,
        entries=entries,
        tree=tree,
        reading=reading,
        class_versions=class_versions,
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
    """Return where ``paths`` stand in the module, as `upgrade_paths` does.

    They are of no record, but stood in ``file`` beside the ``versions`` of the classes
    by path; one that is not there was of version 0.
    """
    return upgrade_paths(_versions_alone(versions, file), places, paths)


def rewriting_rules(
    versions: Mapping[str, Any], places: Places, paths: Iterable[str], file: str
) -> dict[str, TensorRule]:
    """Return the first rule that gives each of ``paths`` other values, if one does.

    The arguments are those of `upgrade_names`.
    """
    rules: dict[str, TensorRule] = {}
    paths_now: dict[str, str | None] = {path: path for path in paths}
    steps = _steps(_versions_alone(versions, file), places)
    for path, prefix, rule in _followed(steps, paths_now):
        now = paths_now[path] or ""
        if (
            isinstance(rule, TensorRule)
            and now.startswith(prefix)
            and rule.concerns(now.removeprefix(prefix))
        ):
            rules.setdefault(path, rule)
    return rules


def _followed(
    steps: Iterable[tuple[str, RewriteRule]], paths_now: dict[str, str | None]
) -> Iterator[tuple[str, str, RewriteRule]]:
    """Yield each path with a rule that meets it, then note where it stands after that.

    ``paths_now`` has where each stands by now, None once it was deleted.
    """
    for prefix, rule in steps:
        for path, now in paths_now.items():
            if now is not None:
                yield path, prefix, rule
                paths_now[path] = path_after_rule(now, prefix, rule)


def _versions_alone(versions: Mapping[str, Any], file: str) -> Entries:
    """Return a record of ``file`` without entries, of classes of these versions."""
    below = {path: version for path, version in versions.items() if path}
    ours = {"version": versions.get("", 0), "versions": below}
    record = Entries.of([], metadata={"burnish": ours})
    return with_parts(record, reading=replace(record.reading, file=file))


def upgrade_left_out(
    record: Entries, places: Places, paths: Iterable[str]
) -> frozenset[str]:
    """Return what ``paths``, which ``record`` lacks, are called in the module.

    A ``*`` in one stands for any number.
    """
    left_out = frozenset(paths)
    for prefix, rule in _steps(record, places) if left_out else ():
        left_out = frozenset(
            name for path in left_out for name in _names_after(path, prefix, rule)
        )
    return left_out


def _names_after(path: str, prefix: str, rule: RewriteRule) -> Iterator[str]:
    if isinstance(rule, TensorRule) and path.startswith(prefix):
        yield from (prefix + n for n in rule.names_after(path.removeprefix(prefix)))
    elif (name := path_after_rule(path, prefix, rule)) is not None:
        yield name


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
    if at == "" and item.get("do") == "set" and isinstance(arguments, dict):
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
    # 5,000 modules pass here at every load, of few classes.
    classes = {kind: declared_class(kind) for kind in {type(m) for _, m in places}}
    newest_versions = {kind: version_of(cls) for kind, cls in classes.items()}
    for prefix, owner in places:
        newest = newest_versions[type(owner)]
        if prefix and not newest:
            continue
        cls = classes[type(owner)]
        # A class that has no version, or has lost it, reads no newer record of itself.
        is_stored = not prefix and record.type_name == cls.__qualname__
        if not newest and not is_stored:
            continue
        version = versions.get(prefix.rstrip("."), 0)
        if type(version) is not int or version < 0:
            raise RecordMismatchError(
                record.reading.file, [f"{prefix}: {version!r:.40} is not a version"]
            )
        if version > newest:
            subject = f"the record of {with_article(cls.__qualname__)}"
            raise RecordVersionError(record.reading.file, version, newest, subject)
        for step in range(version, newest):
            for rule in rules_of(cls).get(step, ()):
                yield prefix, rule
                versions = _versions_after(versions, prefix, rule)


def _versions_after(
    versions: Mapping[str, Any], prefix: str, rule: RewriteRule
) -> dict[str, Any]:
    """Return the versions of the classes at the places that they have after ``rule``.

    A place from which one was deleted has the version of the one that came there.
    """
    kept_versions: dict[str, Any] = {}
    new_versions: dict[str, Any] = {}
    for path, version in versions.items():
        new_path = path_after_rule(path, prefix, rule)
        if new_path is not None:
            place_versions = kept_versions if new_path == path else new_versions
            place_versions[new_path] = version
    return kept_versions | new_versions


def _within(table: Table, prefix: str, rule: RewriteRule) -> Table:
    """Return the table with ``rule`` applied to what begins with ``prefix``."""
    if not prefix:
        return apply_rule(rule, table)
    inside = {p[len(prefix) :]: e for p, e in table.items() if p.startswith(prefix)}
    outside = {p: e for p, e in table.items() if not p.startswith(prefix)}
    return outside | {prefix + p: e for p, e in apply_rule(rule, inside).items()}


def _check_parametrized(
    table: Table, prefix: str, rule: RewriteRule, steps: list[tuple[str, RewriteRule]]
) -> None:
    """Raise `RecordError` for a rule that computes a tensor which is parametrized.

    The record has what the tensor is computed from, under names that the rule does not
    have: it would be loaded as it was, unless one of ``steps`` is for those names.
    """
    if not (isinstance(rule, TensorRule) or _computed_field(rule)):
        return
    for path in table:
        names = ["", "", *path.removeprefix(prefix).split(".")]
        *owner, folder, name, _ = names
        if folder != "parametrizations" or not path.startswith(prefix):
            continue
        tensor = ".".join([*filter(None, owner), name])
        is_met = any(_computes(r, path.removeprefix(at)) for at, r in steps)
        if _computes(rule, tensor) and not is_met:
            raise RecordError(
                f"{rule}: the record has {prefix}{tensor} parametrized, as {path}, "
                "which the rule does not change. Add a rule for that name; or take the "
                "parametrization away with the class that wrote the record, save it "
                "again, and parametrize after loading"
            )


def _computes(rule: RewriteRule, path: str) -> bool:
    """Return whether ``rule`` gives the tensor at ``path`` another value."""
    if isinstance(rule, TensorRule):
        return rule.concerns(path)
    field = _computed_field(rule)
    return field is not None and wildcard_values(field, path.split(".")) is not None


def _computed_field(rule: RewriteRule) -> tuple[str, ...] | None:
    # A user's own rule need not derive from ours.
    field: tuple[str, ...] | None = getattr(rule, "computed_field", None)
    return field


def entries_of(table: Table) -> list[Entry]:
    """Return each entry once, with all the paths at which it stands."""
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
