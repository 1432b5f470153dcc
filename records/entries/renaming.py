"""Entries under other names: what `open_record(rename=...)` does."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, TypeAlias, TypeVar, cast

from ...config.spelling import did_you_mean
from ..errors import RecordMismatchError
from .entries import Entries
from .entry import Entry


class RenameRule(Protocol):
    """What a rewrite rule says of one path."""

    def rename(self, path: str) -> str | None:
        """Return the new path, the same one, or None to drop the entry."""
        ...


Renames: TypeAlias = Mapping[str, str] | Iterable[RenameRule]
"""Old paths (or beginnings of them) to new ones, or rewrite rules in their order."""


E = TypeVar("E", bound=Entries)


def rename_record(record: E, rename: Renames, file: str) -> tuple[E, dict[str, str]]:
    """Return the record under its new names, and old to new name of what changed.

    ValueError for a name that nothing has; `RecordMismatchError` where two entries
    would get one name. ``file`` is for the messages.
    """
    renamer = renamer_of(record.by_path(), rename)
    renamed: dict[str, str] = {}
    owner: dict[str, str] = {}
    entries: list[Entry] = []

    def new_name(path: str) -> str | None:
        new_path = renamer(path)
        if new_path is not None:
            # Extra state is plain data and tensors under one path.
            if owner.get(new_path, path) != path:
                raise RecordMismatchError(
                    file,
                    [f"{owner[new_path]} and {path} are both renamed to {new_path}"],
                )
            owner[new_path] = path
            if new_path != path:
                renamed[path] = new_path
        return new_path

    for entry in record.entries():
        paths = [n for p in (entry.path, *entry.ties) if (n := new_name(p)) is not None]
        if paths:
            renamed_entry = dataclasses.replace(
                entry, path=paths[0], ties=tuple(paths[1:])
            )
            entries.append(renamed_entry)
    if record.is_typed:
        raise ValueError(
            "rename= is for records of modules; this one has declared fields"
        )
    tree = {
        n: v for p, v in (record.tree or {}).items() if (n := new_name(p)) is not None
    }
    return record.replaced(entries=entries, tree=tree), renamed


def renamer_of(paths: Collection[str], rename: Renames) -> Callable[[str], str | None]:
    """Return what gives each of ``paths`` its new name, or None to drop it.

    ValueError for a name that none of them has.
    """
    if not isinstance(rename, Mapping):
        rules = list(rename)
        for rule in rules:
            if not callable(getattr(rule, "rename", None)):
                raise TypeError(
                    f"rename: {rule!r:.60} is no rewrite rule; give a dict of paths, "
                    "or rules such as RenameField(old, new)"
                )

        def by_rules(path: str) -> str | None:
            for rule in rules:
                new_path = rule.rename(path)
                if new_path is None:
                    return None
                path = new_path
            return path

        return by_rules
    names = dict(cast("Mapping[str, str]", rename))
    for old_path, new_path in names.items():
        if not isinstance(old_path, str) or not isinstance(new_path, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(
                f"rename: {old_path!r} to {new_path!r}; both are paths, or beginnings "
                "of them. To leave an entry out, use exclude="
            )
        if not any(p == old_path or p.startswith(old_path + ".") for p in paths):
            hint = did_you_mean(old_path, _beginnings(paths))
            if "*" in old_path or "{" in old_path:
                example = f"RenameField({old_path!r}, {new_path!r})"
                hint = f" Patterns are rules: rename=[{example}]"
            raise ValueError(f"rename: nothing is stored at {old_path!r}.{hint}")
    longest = sorted(names, key=len, reverse=True)

    def by_prefix(path: str) -> str | None:
        for old_path in longest:
            if path.startswith(old_path + "."):
                # Of an empty new name, what stood below moves up.
                return (names[old_path] + path[len(old_path) :]).removeprefix(".")
            if path == old_path:
                return names[old_path] or _refuse_empty(old_path)
        return path

    return by_prefix


def _refuse_empty(path: str) -> str:
    raise ValueError(f"rename: {path!r} is an entry, and needs a name; found ''")


def _beginnings(paths: Iterable[str]) -> set[str]:
    """Return every path, and every path that others lie below."""
    return {
        ".".join(parts[:n])
        for parts in (path.split(".") for path in paths)
        for n in range(1, len(parts) + 1)
    }
