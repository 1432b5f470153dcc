"""Conversion between torch's state dicts and records."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch

from ...config.plain.node import Node
from ...config.short_text import short_repr
from ..tensors.memory import Ties, shape_of
from ..tensors.tensor_classes import is_wrapper
from .entries import Entries, announce_entries
from .entry import Entry
from .nested_data import ExtraStateEncoder, extra_state
from .nodes import renumbered
from .state_dict_marks import class_versions_of, with_class_versions
from .state_dict_search import USUAL_NAMES
from .stored_wrappers import StoredWrappers
from .wrapped_tensors import form_of, tensors_within


def record_of_state_dict(state_dict: Mapping[str, object]) -> Entries:
    """Return the record of a state dict; its tensors are shared, ties are found.

    Values that are not tensors become plain data beside the entries, with the tensors
    in them (extra state); TypeError names those that are not plain data.
    """
    if not callable(getattr(state_dict, "items", None)):
        raise TypeError(
            "a state dict must map names to tensors, as module.state_dict() does, got "
            f"{short_repr(state_dict)}. To read a file, use burnish.open_record(file)."
        )
    _refuse_checkpoint(state_dict)
    collected = Collected()
    for path, value in state_dict.items():
        if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(f"a state dict must have str keys, found {path!r}")
        if isinstance(value, torch.Tensor):
            collected.add_tensor(path, value)
        else:
            collected.add_plain(path, value)
    return Entries.of(
        collected.entries,
        tree=collected.tree(),
        type_name="state dict",
        class_versions=class_versions_of(state_dict),
    )


class Collected:
    """Collects tensors and plain data by path: entries, and the tree of one record."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._ties: Ties[Entry] = Ties()
        self._encoder = ExtraStateEncoder()
        self._plain: dict[str, Node] = {}
        self._nodes: dict[str, Node] = {}
        self._paths: set[str] = set()

    def add_tensor(self, path: str, tensor: torch.Tensor) -> None:
        """Add a tensor, or a tie if it was added before."""
        if is_wrapper(tensor):
            self._add_wrapper(path, tensor)
            return
        owner = self._ties.owner(tensor)
        if owner is not None:
            self._take(path)
            owner.ties += (path,)
            return
        self.add_entry(_entry(path, tensor))
        self._ties.add(tensor, self.entries[-1])

    def _add_wrapper(self, path: str, tensor: torch.Tensor) -> None:
        """Add the parts of a wrapper, and its form as plain data."""
        for where, part in tensors_within(tensor, path):
            if is_wrapper(part):
                self.add_plain(where, form_of(part, where))
                continue
            n_entries = len(self.entries)
            self.add_tensor(where, part)
            for entry in self.entries[n_entries:]:
                entry.kind = "buffer"

    def add_entry(self, entry: Entry) -> None:
        """Add an entry under its paths."""
        for path in (entry.path, *entry.ties):
            self._take(path)
        self.entries.append(entry)

    def add_plain(self, path: str, value: object) -> None:
        """Add plain data; TypeError for any other value."""
        self._take(path)
        self._plain[path] = self._encoder.encode(value, path)

    def add_node(self, path: str, node: Node) -> None:
        """Add plain data whose numbers refer to the entries as they are here."""
        self._take(path)
        self._nodes[path] = node

    def tree(self) -> dict[str, Node]:
        """Return the plain data, whose tensors become the last entries."""
        # Tensors inside extra state are not weights, and come after the weights.
        numbers = self._encoder.move_to(self.entries)
        nodes = {path: renumbered(node, numbers) for path, node in self._plain.items()}
        return self._nodes | nodes

    def _take(self, path: str) -> None:
        if path in self._paths:
            raise ValueError(f"{path}: two values have this path")
        self._paths.add(path)


def _refuse_checkpoint(content: Mapping[Any, object]) -> None:
    """Raise TypeError for a dict that contains a state dict, perhaps beside other data.

    Its weights would become a module's extra state, which no module loads.
    """
    if any(isinstance(value, torch.Tensor) for value in content.values()):
        return
    for name in USUAL_NAMES:
        candidate: Any = content.get(name)
        if isinstance(candidate, Mapping) and any(
            isinstance(value, torch.Tensor) for value in candidate.values()
        ):
            raise TypeError(
                f"this is a dict with a state dict at {name!r}, expected the "
                "state dict itself: "
                f"burnish.Record.from_state_dict(checkpoint[{name!r}]). "
                "burnish.Checkpoints stores a whole run"
            )


def state_dict_of(record: Entries) -> dict[str, Any]:
    """Return path to tensor, tied paths included, without non-persistent buffers.

    Wrapper tensors are rebuilt, for which their class has to be allowed.
    """
    # Torch treats a dict without versions as one of the oldest version of each class.
    state: OrderedDict[str, Any] = OrderedDict()
    with_class_versions(state, record.class_versions)
    wrappers = StoredWrappers(record)
    owners = wrappers.outermost()
    announce_entries(record, record.entries())
    for entry in record.entries():
        if entry.kind in ("transient", "extra"):
            continue
        tensor = entry.tensor().detach()
        for path in (entry.path, *entry.ties):
            owner = owners.get(path)
            if owner is None:
                state[path] = tensor
            elif owner not in state:
                state[owner] = wrappers.tensor(owner, _detached)
    for path in wrappers.forms:
        if path not in owners and path not in state:
            state[path] = wrappers.tensor(path, _detached)
    extra = extra_state(record)
    state.update({p: v for p, v in extra.items() if p not in wrappers.forms})
    return state


def _detached(entry: Entry) -> torch.Tensor:
    return entry.tensor().detach()


def _entry(path: str, value: torch.Tensor) -> Entry:
    # A state dict distinguishes parameters from buffers only with keep_vars.
    is_parameter = isinstance(value, torch.nn.Parameter)
    return Entry(
        path,
        "parameter" if is_parameter else "tensor",
        value.dtype,
        shape_of(value, path),
        value,
        requires_grad=is_parameter and value.requires_grad,
    )
