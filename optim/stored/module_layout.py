"""ModuleLayout: which classes a module was of, and its parameters' forms, when saved.

With it the rules of a newer class are applied to the parameters that states belong to.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...core.modules.tree import places_of
from ...core.modules.versions import versions_of
from ...core.state.entries import named_tensors
from ...records.errors import RecordMismatchError

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModuleLayout:
    """A module's parameters without their values, and the versions of its classes."""

    versions: Mapping[str, Any]
    """By path, 0 where none is; that of the whole stands at the empty path."""
    shapes: Mapping[str, Shape]
    """By path, each parameter at the first of its paths."""
    ties: Mapping[str, str]
    """The other paths of parameters, with the first of each."""

    @classmethod
    def of(cls, module: nn.Module) -> "ModuleLayout":
        """Return the layout of ``module``; a lazy parameter has no form yet."""
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
        """Return what `as_data` gave; an older file has none, and gives an empty one.

        Raises RecordMismatchError for anything else.
        """
        params, versions, ties = (
            _mapping(_mapping(data).get(name))
            for name in ("params", "versions", "ties")
        )
        problems = [
            f"{path}: {shape!r:.40} is no shape of a parameter"
            for path, shape in params.items()
            if not _is_shape(shape)
        ]
        problems += [
            f"{path}: found it tied to {tied_path!r:.40}, expected the path of a "
            "parameter"
            for path, tied_path in ties.items()
            if tied_path not in params
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
    return is_listed and math.prod(data) < 2**62
