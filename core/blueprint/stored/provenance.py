"""The blueprint that a module was built from, kept by it and its checkpoints."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from torch import nn

from ...hyperparameters.hparams_node import ALL, BLUEPRINT, ORIGIN, RESULT, UNSTORED
from ...hyperparameters.structure import note_structure
from ...hyperparameters.writer import Writer, own_node
from ...modules.classes import declared_class
from ...modules.tree import places_of, unwrapped
from ..construction.construct import Construction
from ..construction.draft import Draft
from ..edits.edits import Definition, Edit, Target
from ..tree.construction_node import ConstructionNode
from ..tree.edit_log import target_matches
from .part_versions import UNKNOWN_VERSIONS
from .serialization import to_dict

KEY = "burnish_blueprint"
"""The key of a Lightning checkpoint's hyperparameters for the blueprint, as JSON."""

HYPERPARAMETERS = "hyper_parameters"
"""The key of a Lightning checkpoint for the hyperparameters."""

Definer: TypeAlias = Callable[
    [type[nn.Module], Mapping[str, Any]], tuple[Definition, ConstructionNode]
]
"""Reads a blueprint's data; it is defined above, with blueprints, and passed in."""


class Provenance:
    """The definition of a blueprint at the time of the build.

    It is pickled as data, and left out if it contains more than plain data.
    """

    def __init__(
        self,
        definition: Definition,
        changed: Mapping[str, ConstructionNode],
        read: Definer,
        has_built_children: bool,
    ) -> None:
        self.definition, self.changed = definition, changed
        """The construction at each path that the edits name."""
        self._read, self._has_built_children = read, has_built_children

    @property
    def edits(self) -> Sequence[Edit]:
        """The edits of the blueprint."""
        return self.definition.edits

    def hparams_entry(
        self, module: nn.Module, *, is_call_known: bool
    ) -> dict[str, Any]:
        """Return its node for hyperparameters: none if a call describes it."""
        if is_call_known and not self.edits and not self._has_built_children:
            return {}
        return {BLUEPRINT: self.to_dict(module)}

    def to_dict(self, module: nn.Module) -> dict[str, Any]:
        """Return the data of `Blueprint.to_dict`, and the parts of ``module``.

        The loader of the weights compares those parts with its own module's.
        """
        return {
            **to_dict(self.definition, _classes_of_parts(module), self._class_at),
            RESULT: self._result(module),
        }

    def part(
        self, module: nn.Module, path: str, part: nn.Module
    ) -> dict[str, Any] | None:
        """Return the arguments of ``part`` of ``module``; None if it is another one."""
        node = self.changed.get(path)
        if node is None or node.cls is not declared_class(type(part)):
            return None
        return Writer(partial=True, children=False).node_of(node.cls, node.arguments)

    def _result(self, module: nn.Module) -> list[Any]:
        """Return pairs of paths and of nodes there; removed parts are left out."""
        modules = {prefix[:-1]: owner for prefix, owner in reversed(places_of(module))}
        paths_and_nodes: dict[str, tuple[list[str], dict[str, Any]]] = {}
        for path in self.changed:
            part = modules.get(path)
            if part is None:
                continue
            node = dict(own_node(unwrapped(part)))
            if ALL in node.get(UNSTORED, {}):
                node = self.part(module, path, unwrapped(part)) or node
            elif not path:
                continue  # The hyperparameters of the whole stand beside this.
            # A pattern changes many parts in the same way, so that their node is
            # written once.
            paths_and_nodes.setdefault(repr(node), ([], node))[0].append(path)
        return [[paths, node] for paths, node in paths_and_nodes.values()]

    def _class_at(self, target: Target) -> type[nn.Module] | None:
        nodes = self.changed.items()
        return next((n.cls for path, n in nodes if target_matches(target, path)), None)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Provenance":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            data = to_dict(self.definition, (), self._class_at)
            return (
                _from_pickle,
                (
                    self.definition.cls,
                    {**data, **UNKNOWN_VERSIONS},
                    [*self.changed],
                    self._read,
                    self._has_built_children,
                ),
            )
        except TypeError:
            return (_no_provenance, ())


def _classes_of_parts(module: nn.Module) -> list[type[nn.Module]]:
    kinds = dict.fromkeys(type(owner) for path, owner in places_of(module) if path)
    return [*map(declared_class, kinds)]


def note_provenance(
    construction: Construction, draft: Draft, build_draft: Draft, read: Definer
) -> None:
    """Let a module keep its blueprint, with sizes from an example.

    ``build_draft`` is ``draft`` after the calls before building.
    """
    module, sizes = construction.module, construction.sizes
    changed = {
        path: node
        for edit in (*build_draft.edits, *sizes)
        for node in build_draft.match(edit.target)
        for path in node.paths
    }
    changed.setdefault("", build_draft.tree)
    definition = draft.definition
    whole_definition = replace(definition, edits=(*definition.edits, *sizes))
    provenance = Provenance(
        whole_definition, changed, read, construction.has_built_children
    )
    module.__dict__[ORIGIN] = provenance
    note_structure(module)
    _keep_in_checkpoints(module, provenance)


def _from_pickle(
    cls: type[nn.Module],
    data: Mapping[str, Any],
    paths: Sequence[str],
    read: Definer,
    has_built_children: bool = False,
) -> Provenance:
    definition, tree = read(cls, data)
    nodes_by_path = {path: node for node in tree.walk() for path in node.paths}
    changed = {path: nodes_by_path[path] for path in paths if path in nodes_by_path}
    return Provenance(definition, changed, read, has_built_children)


def _no_provenance() -> None:
    """Return None, for a provenance that could not be pickled."""


def _keep_in_checkpoints(module: nn.Module, provenance: Provenance) -> None:
    """Let the checkpoints of a LightningModule hold the blueprint of ``module``."""
    if hasattr(module, "load_from_checkpoint"):
        module.__dict__["on_save_checkpoint"] = _SaveHook(module, provenance)


class _SaveHook:
    """Calls the module's own hook for saving, then adds the blueprint."""

    def __init__(self, module: nn.Module, provenance: Provenance | None) -> None:
        self._module, self._provenance = module, provenance

    def __call__(self, checkpoint: dict[str, Any]) -> None:
        cls: Any = type(self._module)
        cls.on_save_checkpoint(self._module, checkpoint)
        if self._provenance is None:  # It was not pickled with the module.
            return
        blueprint = self._provenance.to_dict(self._module)
        # Classes and blueprints among the arguments would be pickled here; they are in
        # the blueprint as plain data.
        hparams = checkpoint.get(HYPERPARAMETERS, {})
        plain_hparams = {
            name: value for name, value in hparams.items() if _is_plain(value)
        }
        checkpoint[HYPERPARAMETERS] = {**plain_hparams, KEY: json.dumps(blueprint)}


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
