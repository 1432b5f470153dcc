"""ModuleLayout: the classes of a saved module, and the shapes of its parameters.

With it the rules of a newer class are applied to the parameters that states belong to:
`UpgradedPaths` has the new path of each of them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ...core.evolution.upgrading import upgrade_record
from ...core.modules.tree import places_of
from ...core.modules.versions import versions_of
from ...core.state.entries import named_tensors
from ...core.state.loading.derived import source_entries
from ...records.entries.entries import Entries, path_index, with_parts
from ...records.entries.entry import Entry
from ...records.errors import RecordMismatchError, RecordVersionError

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModuleLayout:
    """A module's parameters without their values, and the versions of its classes."""

    versions: Mapping[str, Any]
    """By path, 0 where none is stated; that of the whole is at the empty path."""
    shapes: Mapping[str, Shape]
    """Each parameter by the first of its paths."""
    ties: Mapping[str, str]
    """The other paths of parameters, with the first of each."""

    @classmethod
    def of(cls, module: nn.Module) -> "ModuleLayout":
        """Return the layout of ``module``; a lazy parameter has no shape yet."""
        places = places_of(module)
        shapes: dict[str, Shape] = {}
        ties: dict[str, str] = {}
        first_paths: dict[int, str] = {}
        for path, kind, tensor in named_tensors(places):
            if kind != "parameter" or nn.parameter.is_lazy(tensor):
                continue
            first_path = first_paths.setdefault(id(tensor), path)
            if path == first_path:
                shapes[path] = tuple(tensor.shape)
            elif path not in shapes:
                ties[path] = first_path
        return cls(versions_of(places), shapes, ties)

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        data: dict[str, Any] = {"params": {p: [*s] for p, s in self.shapes.items()}}
        if self.versions:
            data["versions"] = {**self.versions}
        if self.ties:
            data["ties"] = {**self.ties}
        return data

    @classmethod
    def read(cls, data: object, file: str) -> "ModuleLayout":
        """Return the layout from `as_data`; for an older file without one an empty one.

        Raises RecordMismatchError for anything else.
        """
        params, versions, ties = (
            _mapping(_mapping(data).get(name))
            for name in ("params", "versions", "ties")
        )
        problems = [
            f"{path}: {shape!r:.40} is not the shape of a parameter"
            for path, shape in params.items()
            if not _is_shape(shape)
        ]
        problems += [
            f"{path}: found it tied to {tied_path!r:.40}, expected the path of a "
            "parameter"
            for path, tied_path in ties.items()
            if not (isinstance(tied_path, str) and tied_path in params)
        ]
        if problems:
            raise RecordMismatchError(file, problems)
        shapes = {path: tuple(shape) for path, shape in params.items()}
        return cls(versions, shapes, ties)


def _mapping(data: object) -> Mapping[str, Any]:
    return data if isinstance(data, Mapping) else {}


def _is_shape(data: Any) -> bool:
    is_listed = isinstance(data, list | tuple) and all(
        type(n) is int and n >= 0  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # a file may have anything
        for n in data  # pyright: ignore[reportUnknownVariableType]
    )
    # Torch counts values in 64 bits, and raises for more, even if none is stored.
    return is_listed and math.prod(data) < 2**62


@dataclass(slots=True)
class UpgradedPaths:
    """The new paths of a stored layout's parameters, by their stored paths."""

    layout: ModuleLayout
    rename: Callable[[str], str | None]
    """The caller's renames, which come before the rules."""
    stored_paths: dict[int, str] = field(default_factory=dict[int, str])
    """By the identity of the tensor that represents a stored parameter."""
    moved: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The paths of parameters that no rule computed."""
    computed: dict[str, Entry] = field(default_factory=dict[str, Entry])
    """Parameters that rules computed from others, by their present path."""
    sources: set[str] = field(default_factory=set[str])
    """The stored paths of those others."""

    @classmethod
    def of(
        cls,
        layout: ModuleLayout,
        module: nn.Module | None,
        rename: Callable[[str], str | None],
        file: str,
    ) -> "UpgradedPaths":
        """Apply the rules that lead from ``layout`` to ``module``, if there are any.

        There are none for a module of older classes: by ID and by path its states may
        fit all the same. Raises RecordMismatchError for rules that do not fit the
        stored parameters.
        """
        paths = cls(layout, rename)
        if module is None or not layout.shapes:
            return paths
        places = places_of(module)
        # No rule leads from a version to itself, and building a record is slower.
        if versions_of(places) == layout.versions:
            return paths
        record = paths._record(file)
        try:
            upgraded = upgrade_record(record, places)
        except RecordVersionError:
            return paths
        if upgraded is not record:
            paths._note(upgraded)
        return paths

    def candidates(self, path: str) -> list[str]:
        """Return the possible present paths of the parameter of a stored ``path``."""
        new_path = self.rename(path)
        if new_path is None:
            return []
        is_untouched = not (self.moved or self.computed)
        if is_untouched or path not in self.layout.shapes:
            return [new_path]
        return self.moved.get(path, [])

    def descendants(self, path: str) -> list[str]:
        """Return the possible present paths of a stored ``path``, or of parts of it."""
        computed = [
            p for p, entry in self.computed.items() if path in self.origins(entry)
        ]
        return self.candidates(path) + computed

    def is_deleted(self, path: str) -> bool:
        """Return whether a rename or a rule removed a parameter."""
        return not self.candidates(path) and path not in self.sources

    def origins(self, entry: Entry) -> list[str]:
        """Return the stored paths of the `source_entries` of an entry."""
        return [self.stored_paths[id(leaf.source)] for leaf in source_entries(entry)]

    def _record(self, file: str) -> Entries:
        """Return the parameters as a record of their module, without values."""
        ties: dict[str, list[str]] = {}
        for path, first_path in self.layout.ties.items():
            new_path = self.rename(path)
            if new_path is not None:
                ties.setdefault(first_path, []).append(new_path)
        entries: list[Entry] = []
        for path, shape in self.layout.shapes.items():
            new_path = self.rename(path)
            if new_path is not None:
                blank = torch.empty(shape, device="meta")
                # The entry keeps the blank alive, so that nothing else gets its id.
                self.stored_paths[id(blank)] = path
                entries.append(
                    Entry(
                        new_path,
                        "parameter",
                        blank.dtype,
                        shape,
                        blank,
                        ties=tuple(ties.get(path, ())),
                    )
                )
        versions = dict(self.layout.versions)
        ours = {"version": versions.pop("", 0), "versions": versions}
        record = Entries.of(entries, metadata={"burnish": ours})
        return with_parts(record, reading=replace(record.reading, file=file))

    def _note(self, upgraded: Entries) -> None:
        for path, entry in path_index(upgraded).items():
            # An entry is its own source unless a rule computed it from others.
            if source_entries(entry) == [entry]:
                self.moved.setdefault(self.origins(entry)[0], []).append(path)
            else:
                self.computed[path] = entry
                self.sources.update(self.origins(entry))
