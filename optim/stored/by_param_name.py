"""The record of an optimizer shown by the names of parameters."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ...config.path import join
from ...records.entries.entry import Entry, ParamId
from ...records.flat_record import FlatRecord
from ...records.record_view import plain_leaves
from .record_types import GroupState, OptimizerRecord


@dataclasses.dataclass(frozen=True, slots=True)
class StateByName:
    """The entries and numbers of an optimizer's state under the names of parameters."""

    entries: list[Entry]
    """``layers.0.weight.exp_avg``, with the ID of the parameter."""
    numbers: list[tuple[str, object]]
    """``layers.0.weight.step`` and its value."""
    groups: list[GroupState]
    params: list[list[str]]
    """The names of the parameters with a state in each group."""


def state_by_param_name(record: FlatRecord) -> StateByName | None:
    """Return the state in ``record`` by name; None if it is not an optimizer's.

    No tensor is read. Raises `RecordError` for a record that only claims to be one.
    """
    if record.type_name != OptimizerRecord.__name__:
        return None
    typed = record.typed(OptimizerRecord)
    names = _names(typed)
    params: list[list[str]] = [[] for _ in typed.groups]
    for key, state in typed.states.items():
        if state.group < len(params):
            params[state.group].append(names[key])
    return StateByName(
        [*_renamed(record.entries(), names)],
        [
            (path, value)
            for old_path, value in plain_leaves(record)
            if (path := _new_path(old_path, names)) is not None
        ],
        typed.groups,
        params,
    )


def _names(record: OptimizerRecord) -> dict[str, str]:
    """Return the name of each parameter by ID; with the ID if two have one name."""
    n_of_name = Counter(state.path for state in record.states.values())
    return {
        key: state.path if n_of_name[state.path] == 1 else f"{state.path}({key})"
        for key, state in record.states.items()
    }


def _renamed(entries: Iterable[Entry], names: Mapping[str, str]) -> Iterable[Entry]:
    for entry in entries:
        new_paths = [_new_path(p, names) or p for p in (entry.path, *entry.ties)]
        options: dict[str, Any] = {"path": new_paths[0], "ties": tuple(new_paths[1:])}
        param_id = entry.path.split(".", 2)[1:2]
        if param_id and ParamId.is_valid(param_id[0]):
            options["id"] = ParamId(param_id[0])
        yield dataclasses.replace(entry, **options)


def _new_path(path: str, names: Mapping[str, str]) -> str | None:
    """Return ``states.ID.values.x`` as the parameter's name and ``x``, or None."""
    parts = path.split(".", 3)
    if len(parts) < 4 or parts[0] != "states" or parts[2] != "values":
        return None
    return join(names[parts[1]], parts[3]) if parts[1] in names else None
