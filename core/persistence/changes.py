# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Manual changes of the stored module, compared with the module being loaded.

Changes visible in entries (a head of another width, added adapters) are judged as
missing and unexpected entries are; this handles those that nothing else shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...config.path import join
from ...records.entries.entries import Entries
from ...records.entries.select import selected
from ...records.errors import RecordMismatchError
from ..hyperparameters.hparams_node import ATTRIBUTES, CHANGED, CONTAINERS_OF_TORCH
from ..hyperparameters.structure import is_lasting, plain_attribute
from ..hyperparameters.torch_layers import is_torch_layer
from ..modules.classes import declared_class
from ..modules.registry import NAME, is_same_class
from ..modules.tree import places_of, unwrapped
from .comparison import HparamsComparison, Named, value_difference

Changes = dict[str, Mapping[str, Any]]


def stored_changes(hparams: Mapping[str, object], record: Entries) -> Changes:
    """Return the new node at each path, an empty node where a part was removed."""
    pairs = pairs_of_paths_and_node(hparams.get(CHANGED, []), CHANGED, record)
    return {path: node for paths, node in pairs for path in paths}


def pairs_of_paths_and_node(
    pairs: object, key: str, record: Entries
) -> list[tuple[list[str], Mapping[str, Any]]]:
    """Return the value of ``key``; RecordMismatchError if it is of the wrong type."""
    checked_pairs: list[tuple[list[str], Mapping[str, Any]]] = []
    for pair in pairs if isinstance(pairs, list) else [None]:
        match pair:
            case [list() as paths, Mapping() as node] if all(
                isinstance(path, str) for path in paths
            ) and isinstance(node.get(ATTRIBUTES, {}), Mapping):
                checked_pairs.append((paths, node))
            case _:
                problem = f"{key}: expected pairs of paths and a module"
                raise RecordMismatchError(record.reading.file, [problem])
    return checked_pairs


def apply_attributes(module: nn.Module, changes: Changes) -> bool:
    """Apply ``changes`` to ``module``; return whether all could be applied.

    Only numbers, strings and None are stored unchanged.
    """
    parts = {prefix[:-1]: part for prefix, part in reversed(places_of(module))}
    for path, node in changes.items():
        part = parts.get(path)
        if part is None or not is_same_class(node, declared_class(type(part))):
            return False
        for name, value in node.get(ATTRIBUTES, {}).items():
            if not {type(value), type(part.__dict__.get(name))} <= _AS_STORED:
                return False
            setattr(part, name, value)
    return True


_AS_STORED = frozenset({int, float, str, bool, type(None)})


@dataclass(slots=True)
class ChangedParts:
    """Compares stored changes with the parts of a module; `found` has the lines."""

    found: HparamsComparison
    record: Entries
    modules: Mapping[str, nn.Module]
    _absent: set[str] = field(default_factory=set[str])

    def compare(self, changes: Changes, carried: Mapping[str, str | None]) -> None:
        """Compare each of ``changes`` with the part to which rules ``carried`` it."""
        for stored_path, node in sorted(changes.items()):
            path = carried[stored_path]
            if path is not None and self._is_read(path):
                self._compare(path, node)

    def _compare(self, path: str, node: Mapping[str, object]) -> None:
        part = self.modules.get(path)
        if part is None:
            if node and not is_below(path, self._absent):
                self._absent.add(path)
                self._tell(self._of_addition(path), path, Named(node), "nothing")
            return
        part = unwrapped(part)
        cls = declared_class(type(part))
        if not node:
            has_entries = any(True for _ in part.state_dict(keep_vars=True))
            lines = self.found.noted if has_entries else self._differing
            self._tell(lines, path, "nothing", cls.__qualname__)
        elif isinstance(part, torch.jit.ScriptModule):
            name = str(getattr(part, "original_name", ""))
            if name != str(node.get(NAME)).rpartition(".")[2]:
                self._tell(self._differing, path, Named(node), name)
        elif not is_same_class(node, cls) and not _is_synchronized(node, cls):
            lines = self._of_other_class(path, part)
            self._tell(lines, path, Named(node), cls.__qualname__)
        else:
            self._compare_attributes(path, node, part, cls)

    def _compare_attributes(
        self, path: str, node: Mapping[str, Any], part: nn.Module, cls: type[nn.Module]
    ) -> None:
        # The meaning of an attribute of a user-defined class is unknown.
        lines = self._differing if is_torch_layer(cls) else self.found.unknown
        for name, stored_value in node.get(ATTRIBUTES, {}).items():
            if not path and name in self.found.passed:
                continue
            live_value = part.__dict__.get(name)
            if is_lasting(live_value) and plain_attribute(live_value) != stored_value:
                live_value = plain_attribute(live_value)
                lines.append(
                    value_difference(join(path, name), stored_value, live_value)
                )

    @property
    def _differing(self) -> list[str]:
        # After a rename, the part at a path may be elsewhere.
        is_renamed = bool(self.record.reading.renamed)
        return self.found.unknown if is_renamed else self.found.differing

    def _of_addition(self, path: str) -> list[str]:
        if any(name.startswith(f"{path}.") for name in self._entries()):
            return self.found.noted
        above = self.modules.get(path.rpartition(".")[0])
        is_item = above is not None and type(unwrapped(above)) in CONTAINERS_OF_TORCH
        return self._differing if is_item else self.found.unknown

    def _of_other_class(self, path: str, part: nn.Module) -> list[str]:
        begin = f"{path}." if path else ""
        below = (n[len(begin) :] for n in self._entries() if n.startswith(begin))
        stored_names = {name for name in below if "." not in name}
        tensors = {**part._parameters, **part._buffers}
        tensor_names = {name for name, tensor in tensors.items() if tensor is not None}
        return self._differing if stored_names == tensor_names else self.found.noted

    def _entries(self) -> list[str]:
        return [p for entry in self.record.entries() for p in (entry.path, *entry.ties)]

    def _is_read(self, path: str) -> bool:
        only, exclude = self.record.reading.only, self.record.reading.exclude
        return selected(path, only, exclude) or selected(f"{path}._", only, exclude)

    def _tell(
        self, lines: list[str], path: str, stored_part: Named | str, live_part: str
    ) -> None:
        text = stored_part.text if isinstance(stored_part, Named) else stored_part
        line = f"{path}: stored {text:.80}, the module has {live_part:.80}"
        lines.append(line)
        if lines is self.found.noted:
            self.found.replaced.append(line)


def _is_synchronized(node: Mapping[str, object], cls: type[nn.Module]) -> bool:
    """Return whether ``cls`` is the synchronized version of a norm."""
    is_norm = str(node.get(NAME)).startswith("BatchNorm")
    return is_norm and issubclass(cls, nn.SyncBatchNorm)


def is_below(path: str, paths: set[str]) -> bool:
    """Return whether ``path``, or a part that contains it, is among ``paths``."""
    parts = path.split(".")
    return any(".".join(parts[: n + 1]) in paths for n in range(len(parts)))
