"""Entries under other names, as `open_record(rename=...)` requests."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.spelling import did_you_mean
from ..errors import RecordMismatchError
from .entries import Entries, library_part, path_index, renumbered_tree, with_parts
from .entry import Entry


class RenameRule(Protocol):
    """A rewrite rule for paths."""

    def rename(self, path: str) -> str | None:
        """Return the new path, the unchanged one, or None to drop the entry."""
        ...


Renames: TypeAlias = Mapping[str, str] | Iterable[RenameRule]
"""Maps old paths (or their prefixes) to new ones, or lists rewrite rules in order."""

Renamer: TypeAlias = Callable[[str], str | None]
"""Returns the new name of a path, or None to drop its entry."""

E = TypeVar("E", bound=Entries)


def rename_record(record: E, rename: Renames, file: str) -> tuple[E, dict[str, str]]:
    """Return the record under its new names, and a dict of the changes, old to new.

    Raises ValueError for a name that nothing has; `RecordMismatchError` where two
    entries would get the same name. ``file`` is for the messages.
    """
    new_names = _NewNames(renamer_of(path_index(record), rename), file)
    renamed = _renamed_entries(record.entries(), new_names)
    if record.is_typed:
        raise ValueError(
            "rename= is for records of modules; this one has declared fields"
        )
    tree = {
        new_path: value
        for path, value in (record.tree or {}).items()
        if (new_path := new_names.of(path)) is not None
    }

    def refusal(path: str, i: int) -> Exception:
        problem = (
            f"{path}: {record.entries()[i].path}, a tensor in the plain data "
            "there, is dropped; drop both or neither"
        )
        return RecordMismatchError(file, [problem])

    # A dropped entry no longer has a number.
    new_numbers = {old_number: i for i, old_number in enumerate(renamed)}
    tree = renumbered_tree(tree, new_numbers, refusal)
    metadata = _renamed_metadata(record.metadata, new_names.after)
    class_versions = _renamed_versions(record.class_versions, new_names.after)
    record = with_parts(
        record,
        entries=[*renamed.values()],
        tree=tree,
        metadata=metadata,
        class_versions=class_versions,
    )
    return record, new_names.changed


def _renamed_entries(
    entries: Sequence[Entry], new_names: "_NewNames"
) -> dict[int, Entry]:
    """Return the entries under their new names, without the dropped ones.

    Keys are their old numbers.
    """
    renamed: dict[int, Entry] = {}
    for i, entry in enumerate(entries):
        new_paths = (new_names.of(path) for path in (entry.path, *entry.ties))
        paths = [path for path in new_paths if path is not None]
        if paths:
            renamed[i] = dataclasses.replace(
                entry, path=paths[0], ties=tuple(paths[1:])
            )
    return renamed


def _renamed_metadata(
    metadata: Mapping[str, object], names: Mapping[str, str | None]
) -> dict[str, Any]:
    """Return ``metadata`` with the class versions moved to where their tensors went.

    Otherwise a class would be upgraded from another version than the one that wrote it.
    """
    ours = dict(library_part(metadata))
    below: Any = ours.pop("versions", None)
    versions: dict[str, Any] = dict(below) if isinstance(below, Mapping) else {}
    if "version" in ours:
        versions[""] = ours.pop("version")
    if not versions:
        return dict(metadata)
    new_versions = _renamed_versions(versions, names)
    ours |= {"version": new_versions.pop("")} if "" in new_versions else {}
    ours |= {"versions": new_versions} if new_versions else {}
    return {**metadata, "burnish": ours}


def _renamed_versions(
    versions: Mapping[str, Any], names: Mapping[str, str | None]
) -> dict[str, Any]:
    """Return versions by the current paths of the modules with entries ``names``.

    A module whose entries all moved to one path moved there, and is dropped if all of
    them were; where they moved to several paths, it stays.
    """
    places: dict[str, set[str | None]] = {place: set() for place in versions}
    # The parent of an only child may have stayed, and the root is never renamed.
    has_one_child = len({path.split(".")[0] for path in names}) == 1
    for path, new_path in names.items():
        parts = path.split(".")
        for i in range(has_one_child and len(parts) > 1, len(parts)):
            new_places = places.get(".".join(parts[:i]))
            if new_places is not None:
                new_places.add(_place_above(parts[i:], new_path))
    unclear_versions: dict[str, Any] = {}
    kept_versions: dict[str, Any] = {}
    new_versions: dict[str, Any] = {}
    for place, version in versions.items():
        if places[place] == {_DROPPED}:
            continue
        new_places = {p for p in places[place] if p not in (_DROPPED, None)}
        if len(new_places) != 1:
            unclear_versions[place] = version
        elif place in new_places:
            kept_versions[place] = version
        else:
            new_versions |= {new_place or "": version for new_place in new_places}
    return unclear_versions | new_versions | kept_versions


_DROPPED = "."
"""Marks the path of a dropped entry; no module has this path."""


def _place_above(below: list[str], new_path: str | None) -> str | None:
    """Return the path of the module whose entry ``below`` is now at ``new_path``.

    None if it is unknown.
    """
    if new_path is None:
        return _DROPPED
    parts, n = new_path.split("."), len(below)
    is_inside = n == 1 or parts[-n:] == below
    return ".".join(parts[:-n]) if is_inside else None


class _NewNames:
    """The names of one record's entries, each of which must be unique."""

    def __init__(self, renamer: Renamer, file: str) -> None:
        self.renamer, self.file = renamer, file
        self.changed: dict[str, str] = {}
        self.after: dict[str, str | None] = {}
        self.owners: dict[str, str] = {}

    def of(self, path: str) -> str | None:
        """Return the new name of ``path``; None if it is dropped."""
        new_path = self.after[path] = self.renamer(path)
        if new_path is None:
            return None
        # Extra state is plain data and tensors under one path.
        owner = self.owners.get(new_path, path)
        if owner != path:
            problem = f"{owner} and {path} are both renamed to {new_path}"
            raise RecordMismatchError(self.file, [problem])
        self.owners[new_path] = path
        if new_path != path:
            self.changed[path] = new_path
        return new_path


def renamer_of(paths: Collection[str], rename: Renames) -> Renamer:
    """Return a function from each of ``paths`` to its new name, or None to drop it.

    Raises ValueError for a name that none of them has.
    """
    if isinstance(rename, Mapping):
        return _by_prefixes(paths, dict(cast("Mapping[str, str]", rename)))
    if callable(rename) or not isinstance(rename, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(
            f"rename: got {rename!r:.60}, expected a dict, as in {{'old': 'new'}}, or "
            "a list of rules, as in [RenameField('old.**', 'new.**')]"
        )
    return _by_rules(list(rename))


def _by_rules(rules: Sequence[RenameRule]) -> Renamer:
    for rule in rules:
        if not callable(getattr(rule, "rename", None)):
            raise TypeError(
                f"rename: {rule!r:.60} is not a rewrite rule; pass a dict of "
                "paths, or rules such as RenameField(old, new)"
            )
        if _only_computes(rule):
            raise TypeError(
                f"rename: {rule!r:.100} computes values, and rename= only "
                "renames. Give such a rule to the class: version=1, "
                "upgrade_rules={0: [...]}"
            )

    def new_name(path: str) -> str | None:
        for rule in rules:
            new_path = rule.rename(path)
            if new_path is None:
                return None
            path = new_path
        return path

    return new_name


def _only_computes(rule: RenameRule) -> bool:
    """Return whether ``rule`` changes entries, but not their names."""
    return (
        isinstance(rule, RewriteRule)
        and type(rule).rename is RewriteRule.rename
        and type(rule).apply_to_entries is not RewriteRule.apply_to_entries
    )


def _by_prefixes(paths: Collection[str], names: dict[str, str]) -> Renamer:
    for old_path, new_path in names.items():
        _check_prefix(paths, old_path, new_path)
    # Every path begins with '', unless a foreign file has an entry with that name.
    prefix = names.pop("", "") if "" not in paths else ""
    longest_first = sorted(names, key=len, reverse=True)

    def new_name(path: str) -> str | None:
        for old_path in longest_first:
            if path.startswith(old_path + "."):
                # With an empty new name, the entries below move up.
                return (names[old_path] + path[len(old_path) :]).removeprefix(".")
            if path == old_path:
                return names[old_path] or _refuse_empty(old_path)
        return f"{prefix}.{path}" if prefix else path

    return new_name


def _check_prefix(paths: Collection[str], old_path: object, new_path: object) -> None:
    """Raise for an old name that does not exist, or for an invalid pair of names."""
    if not isinstance(old_path, str) or not isinstance(new_path, str):
        raise TypeError(
            f"rename: {old_path!r} to {new_path!r}; both must be paths, or "
            "prefixes of paths. To leave an entry out, use exclude=. To split "
            "one tensor into several, use an upgrade rule of the class, "
            "burnish.core.SplitTensor"
        )
    if old_path and not any(
        p == old_path or p.startswith(old_path + ".") for p in paths
    ):
        hint = did_you_mean(old_path, _beginnings(paths))
        if "*" in old_path or "{" in old_path:
            example = f"RenameField({old_path!r}, {new_path!r})"
            hint = f" Patterns are rules: rename=[{example}]"
        raise ValueError(f"rename: nothing is stored at {old_path!r}.{hint}")


def _refuse_empty(path: str) -> str:
    raise ValueError(f"rename: {path!r} is an entry and needs a name, found ''")


def _beginnings(paths: Iterable[str]) -> set[str]:
    """Return every path, and the path of everything that contains another."""
    return {
        ".".join(parts[:n])
        for parts in (path.split(".") for path in paths)
        for n in range(1, len(parts) + 1)
    }
