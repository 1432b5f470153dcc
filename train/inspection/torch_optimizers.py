"""States of torch's optimizers by parameter names instead of numbers.

Names are those that were saved with the state; else those of a module beside it whose
shapes, in order, are those of the states.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch

from ...config.path import join
from ...config.process.interrupts import raise_of_signal
from ...optim.simple import SimpleOptimizer
from ...optim.stored.record_types import GroupState
from ...optim.tensor_optimizer import hyperparameters
from ...records.entries.entry import Entry
from ...records.entries.nodes import escape
from ...records.entries.optimizer_states import StateDict, optimizers_in
from ...records.errors import RecordError
from ...records.flat_record import FlatRecord
from ...records.nest import is_nest
from ..checkpoints.param_names import stored_kind, stored_names
from ..checkpoints.torch_optimizer_shares import outline_of
from ..plain_records import PlainData

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""Entries of state dicts other than parameters, by the end of their names."""


@dataclass(slots=True)
class StatesByName:
    """The content of a record, with the states of its optimizers by name."""

    entries: list[Entry]
    plain: list[tuple[str, object]]
    groups: list[GroupState] = field(default_factory=list[GroupState])
    params: list[list[str]] = field(default_factory=list[list[str]])


def states_by_name(
    record: FlatRecord,
    plain_data: list[tuple[str, object]],
    modules: Iterable[Sequence[Entry]],
) -> StatesByName | None:
    """Return the content of ``record`` by name, or None without torch optimizers.

    ``plain_data`` is its plain data by path, and ``modules`` are the entries of
    possible modules beside it. Only tensors with numbers of a group are read.
    """
    is_plain_data = record.type_name == PlainData.__name__
    if not (is_plain_data or is_nest(record)):
        return None
    if not any("param_groups." in path for path, _ in plain_data):
        return None
    try:
        paths, data = outline_of(record)
    except (RecordError, ValueError):
        return None  # of classes that are not here
    start = ("value",) if is_plain_data else ()
    optimizers = [*optimizers_in(data)]
    beside = [*modules, *(_modules_in(record) if is_nest(record) else ())]
    view = _View(record, paths)
    for keys, state_dict in optimizers:
        prefix = join(*start, *(escape(str(key)) for key in keys))
        names = stored_names(record, state_dict) or _names_by_shape(state_dict, beside)
        view.add(state_dict, "" if prefix == "value" else prefix, names)
        plain_data = [
            (path, value) for path, value in plain_data if not _is_of(path, prefix)
        ]
    return view.result(plain_data) if optimizers else None


def groups_beside(record: FlatRecord) -> Iterator[tuple[str, GroupState, int]]:
    """Yield the groups of optimizers beside a state dict in a torch file.

    Each with the name of the optimizer there, and its number of parameters.
    """
    reading = record.reading
    if not (reading.format == "torch" and reading.beside):
        return
    try:
        # It was read before; only its outline is looked at.
        content = torch.load(
            reading.file, map_location="cpu", weights_only=True, mmap=True
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise_of_signal(error)
        return  # from an older torch, compressed, or at a URL
    for keys, state_dict in optimizers_in(content):
        for group in state_dict["param_groups"]:
            yield ".".join(map(str, keys)), group_of(group), len(group["params"])


def group_of(group: Mapping[str, Any], kind: str = "") -> GroupState:
    """Return the settings of a group; its class by its hyperparameters' names."""
    options = {k: v for k, v in group.items() if k not in ("params", "param_names")}
    ours = options.pop("optimizer", None)
    if isinstance(ours, SimpleOptimizer):
        options |= hyperparameters(ours)  # pyright: ignore[reportUnknownArgumentType]  # of any state
        kind = type(ours).__name__  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]  # as above
    # Settings with an effect come first: of many, the rest are only counted.
    options = dict(sorted(options.items(), key=lambda item: _is_off(item[1])))
    return GroupState(kind or _kind_of(options), options, "torch", None)


def _is_off(value: object) -> bool:
    return value is None or value is False


def _kind_of(options: Mapping[str, object]) -> str:
    names = frozenset(options) - {"initial_lr"}
    kinds = [kind for kind, expected in _settings().items() if names == expected]
    if kinds == ["Adam"] and options.get("decoupled_weight_decay"):
        return "AdamW"
    return kinds[0] if len(kinds) == 1 else "an optimizer"


@cache
def _settings() -> dict[str, frozenset[str]]:
    """Return the settings of each torch optimizer, by its name."""
    return {
        name: frozenset(inspect.signature(cls).parameters) - {"params"}
        for name, cls in vars(torch.optim).items()
        if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
    }


def _modules_in(record: FlatRecord) -> Iterator[list[Entry]]:
    """Yield the value of each key of a nest, which may be a state dict."""
    below: dict[str, list[Entry]] = {}
    for entry in record.entries():
        key, _, path = entry.path.partition(".")
        below.setdefault(key, []).append(replace(entry, path=path, ties=()))
    yield from below.values()


def _names_by_shape(
    state_dict: StateDict, modules: Sequence[Sequence[Entry]]
) -> dict[object, str]:
    """Return names by number, of the only module whose shapes are the states'."""
    numbers = [n for group in state_dict["param_groups"] for n in group["params"]]
    states = [state_dict["state"].get(n, {}) for n in numbers]
    for entries in modules:
        params = [e for e in entries if e.kind in ("parameter", "tensor")]
        params = [e for e in params if e.path.rpartition(".")[2] not in _BUFFERS]
        trained = [e for e in params if e.requires_grad]
        for candidates in (params, trained):
            if _fit(states, candidates):
                return {n: e.path for n, e in zip(numbers, candidates, strict=True)}
    return {}


def _fit(states: Sequence[Mapping[str, Any]], params: Sequence[Entry]) -> bool:
    """Return whether each state has a tensor of its parameter's shape, or none."""
    if len(states) != len(params):
        return False
    has_any = False
    for state, param in zip(states, params, strict=True):
        shapes = {tuple(v.shape) for v in state.values() if _is_large(v)}
        if shapes and tuple(param.shape) not in shapes:
            return False
        has_any |= bool(shapes)
    return has_any


def _is_large(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0


def _is_of(path: str, prefix: str) -> bool:
    return path.startswith((join(prefix, "state."), join(prefix, "param_groups.")))


class _View:
    """Builds names for what a record has by number."""

    def __init__(self, record: FlatRecord, paths: Mapping[int, str]) -> None:
        self._record, self._paths = record, paths
        self._new_paths: dict[str, list[str]] = {}
        self._plain: list[tuple[str, object]] = []
        self._groups: list[GroupState] = []
        self._params: list[list[str]] = []

    def add(
        self, state_dict: StateDict, prefix: str, names: Mapping[object, str]
    ) -> None:
        """Add an optimizer, which is at ``prefix``."""
        kind = stored_kind(self._record)

        def path_of(number: object) -> str:
            return join(prefix, names.get(number, f"parameter {number}"))

        for group in state_dict["param_groups"]:
            self._groups.append(group_of(self._with_numbers(group), kind))
            self._params.append([path_of(number) for number in group["params"]])
        for number, state in state_dict["state"].items():
            is_of_param = isinstance(state, Mapping)
            path = path_of(number) if is_of_param else join(prefix, str(number))
            self._add_value(path, state)

    def result(self, plain_data: list[tuple[str, object]]) -> StatesByName:
        """Return the whole content, with ``plain_data`` as the rest of the record."""
        entries = [self._renamed(entry) for entry in self._record.entries()]
        return StatesByName(
            entries, [*plain_data, *self._plain], self._groups, self._params
        )

    def _add_value(self, path: str, value: object) -> None:
        if id(value) in self._paths:
            self._new_paths.setdefault(self._paths[id(value)], []).append(path)
        elif isinstance(value, Mapping | list | tuple):
            children: Any = (
                value.items() if isinstance(value, Mapping) else enumerate(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # any data
            )
            for key, child in children:
                self._add_value(join(path, str(key)), child)
        else:
            self._plain.append((path, value))

    def _renamed(self, entry: Entry) -> Entry:
        new_paths = self._new_paths.get(entry.path)
        if new_paths is None:
            return entry
        return replace(entry, path=new_paths[0], ties=tuple(new_paths[1:]))

    def _with_numbers(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return a group with the values of tensors, which an outline lacks."""
        entries = {e.path: e for e in self._record.entries()}
        return {
            key: entries[self._paths[id(value)]].read().tolist()
            if id(value) in self._paths
            else value
            for key, value in group.items()
        }
