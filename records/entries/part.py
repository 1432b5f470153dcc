"""The part of a record below one path, as a record of its own."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from ...config.patterns import Patterns
from ...config.plain.node import Node
from ...config.short_text import with_article
from .entries import Entries, library_part, selection, with_parts
from .entry import Entry
from .select import selected

E = TypeVar("E", bound=Entries)


def part_below(record: E, path: str) -> E:
    """Return the record's part below ``path``, with names relative to it.

    A part has no hyperparameters, since those of the whole do not describe it; it keeps
    the versions of its classes. Raises TypeError for a record of declared fields.
    """
    if record.is_typed:
        raise TypeError(
            f"{path!r} is a part of {with_article(record.type_name)}, whose fields are "
            "declared; only parts of a module's record are records"
        )
    prefix = f"{path}."
    chosen, nodes = _below(record, prefix)
    entries = [_move_up(entry, prefix) for entry in chosen]
    tree = {name.removeprefix(prefix): node for name, node in nodes.items()}
    reading = record.reading
    origins = {after: before for before, after in reading.renamed.items()}
    names = [name for entry in entries for name in (entry.path, *entry.ties)]
    return with_parts(
        record,
        entries=entries,
        tree=tree,
        metadata=_metadata(record.metadata, path),
        type_name="",
        class_versions={
            name.removeprefix(path).removeprefix("."): version
            for name, version in record.class_versions.items()
            if name == path or name.startswith(prefix)
        },
        reading=dataclasses.replace(
            reading,
            only=None,
            exclude=_left_out(prefix, reading.only, reading.exclude),
            left_out=frozenset(
                path.removeprefix(prefix)
                for path in reading.left_out
                if path.startswith(prefix)
            ),
            renamed={origins.get(prefix + n, prefix + n): n for n in [*names, *tree]},
        ),
    )


def below(record: E, path: str) -> E:
    """Return the part below ``path`` under the names that it has in ``record``."""
    entries, tree = _below(record, f"{path}.")
    return with_parts(record, entries=entries, tree=tree)


def _below(record: Entries, prefix: str) -> tuple[list[Entry], dict[str, Node]]:
    def is_below(entry: Entry) -> bool:
        return any(name.startswith(prefix) for name in _names(entry))

    return selection(record.entries(), record.tree or {}, is_below, None)


def _names(entry: Entry) -> tuple[str, ...]:
    return (entry.path, *entry.ties)


def _move_up(entry: Entry, prefix: str) -> Entry:
    """Return ``entry`` with its names relative to ``prefix``."""
    paths = [
        path.removeprefix(prefix) for path in _names(entry) if path.startswith(prefix)
    ]
    return dataclasses.replace(entry, path=paths[0], ties=tuple(paths[1:]))


def _metadata(metadata: Mapping[str, object], path: str) -> dict[str, Any]:
    ours = dict(library_part(metadata))
    in_file: Any = ours.pop("versions", None)
    versions: Mapping[str, Any] = in_file if isinstance(in_file, Mapping) else {}
    for key in ("class_versions", "hparams", "version", "type", "part"):
        ours.pop(key, None)
    versions_below = {
        name.removeprefix(f"{path}."): version
        for name, version in versions.items()
        if name.startswith(f"{path}.")
    }
    ours |= {"versions": versions_below} if versions_below else {}
    ours |= {"version": versions[path]} if path in versions else {}
    return {**metadata, "burnish": ours}


def _left_out(
    prefix: str, only: Patterns | None, exclude: Patterns | None
) -> Patterns | None:
    """Return the pattern of what was excluded when the whole was read."""
    if only is None and exclude is None:
        return None

    def is_left_out(entry: Entry) -> bool:
        # Each name is tested by itself, because the whole may have more exclusions.
        return not any(
            selected(
                dataclasses.replace(entry, path=prefix + name, ties=()), only, exclude
            )
            for name in _names(entry)
        )

    return is_left_out
