"""A module's record assembled from tensors and other records."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..config.path import join
from ..config.short_text import with_article
from .entries.encoder import Storable
from .entries.entries import Entries, library_part
from .entries.nodes import renumbered
from .entries.state_dict import Collected
from .entries.state_dict_marks import EXTRA_STATE
from .record_view import Branch, entries_of_branch


def assembled(
    parts: Mapping[str, object], type_name: str, metadata: Mapping[str, object]
) -> Entries:
    """Return the record of ``parts`` by name; tensors are shared, ties are found.

    A part is a tensor, a module's record or a part of one, a dict of parts, or plain
    data (extra state). ``metadata`` is added to what the records have of their modules'
    classes. TypeError names the path of any other value, and ValueError a path that two
    parts have.
    """
    assembly = _Assembly()
    for path, part in _by_path(parts, ""):
        assembly.add(path, part)
    ours = dict(metadata)
    if assembly.versions:
        ours["versions"] = assembly.versions
    if assembly.class_versions:
        ours["class_versions"] = assembly.class_versions
    return Entries.of(
        assembly.entries,
        tree=assembly.tree(),
        metadata={"burnish": ours} if ours else {},
        type_name=type_name,
    )


def _by_path(parts: Mapping[str, object], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, part in parts.items():
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(f"{prefix or 'record'}: a name must be a str, got {name!r}")
        path = join(prefix, name)
        # Extra state is often a dict, too.
        is_extra = name == EXTRA_STATE
        is_record = isinstance(part, Storable | Branch)
        if isinstance(part, Mapping) and not is_record and not is_extra:
            yield from _by_path(part, path)
        else:
            yield path, part


class _Assembly(Collected):
    """The values by path, and the class versions of the modules."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, Any] = {}
        self.class_versions: dict[str, int] = {}

    def add(self, path: str, part: object) -> None:
        if isinstance(part, Branch):
            part = entries_of_branch(part)
        if isinstance(part, torch.Tensor):
            self.add_tensor(path, part)
        elif isinstance(part, Entries) and not part.is_typed:
            self._add_record(path, part)
        elif isinstance(part, Storable):
            raise TypeError(
                f"{path}: {with_article(type(part).__qualname__)} has declared fields "
                "and cannot be part of a module's record; put it in a field of a record"
            )
        else:
            self.add_plain(path, part)

    def _add_record(self, path: str, record: Entries) -> None:
        numbers = {i: len(self.entries) + i for i in range(len(record.entries()))}
        for entry in record.entries():
            ties = tuple(join(path, tie) for tie in entry.ties)
            self.add_entry(
                dataclasses.replace(entry, path=join(path, entry.path), ties=ties)
            )
        for name, node in (record.tree or {}).items():
            self.add_node(join(path, name), renumbered(node, numbers))
        self._add_versions(path, record)

    def _add_versions(self, path: str, record: Entries) -> None:
        section = library_part(record.metadata)
        below = section.get("versions")
        versions: Mapping[str, Any] = below if isinstance(below, Mapping) else {}
        self.versions |= {join(path, name): versions[name] for name in versions}
        if "version" in section:
            self.versions[path] = section["version"]
        self.class_versions |= {
            join(path, name): version for name, version in record.class_versions.items()
        }
