"""State dicts of an older version of the module, renumbered for the present one.

A state dict numbers its parameters, and rules that split or merge some change the
numbers of others: its first group holds, as text, which parameters the numbers are.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from ...config.process.user_warning import warn_user
from ...core.modules.tree import places_of
from ...core.modules.versions import versions_of
from ...records.errors import RecordMismatchError
from ...records.report import LoadReport
from ..bound.bound_params import FOREIGN
from ..bound.bound_state import BoundState
from ..bound.state_check import BESIDE
from .matching import match_states
from .module_layout import ModuleLayout
from .param_order import in_order_of
from .record_types import OPTIMIZER_KEY, GroupState, OptimizerRecord, ParamState
from .taken_states import TakenStates

LAYOUT = "layout"
"""The key of the first group for the module's parameters and their paths."""

StateDict = Mapping[str, Any]


def layout_text(bound: BoundState) -> str | None:
    """Return a state dict's description of the module; None without a module."""
    module = bound.params.module
    if module is None:
        return None
    paths = [[bound.params.path_of(p) for p in g["params"]] for g in bound.groups]
    return json.dumps({"module": ModuleLayout.of(module).as_data(), "paths": paths})


def upgraded_state_dict(
    bound: BoundState, state_dict: dict[str, Any], file: str
) -> dict[str, Any]:
    """Return a state dict of the present module; the same one if it is that already.

    Raises RecordMismatchError if rules or states do not fit.
    """
    record = _older_record(bound, state_dict, file)
    if record is None:
        module, names = bound.params.module, _stored_names(bound, state_dict, file)
        if names is None or module is None:
            return state_dict
        present = ModuleLayout.of(module).shapes
        return in_order_of(_names(bound), names, present, state_dict, file, _CURE)
    report = LoadReport()
    matching = match_states(bound.params, record, None, file)
    checked_states = TakenStates.of(bound, record, matching, report)
    problems = checked_states.problems + [
        f"{path}: stored, but no parameter has that path" for path in matching.unknown
    ]
    if problems:
        raise RecordMismatchError(file, problems)
    for text in report.changed:
        warn_user(text, RuntimeWarning)
    params = [*chain.from_iterable(group["params"] for group in bound.groups)]
    numbers = {param: number for number, param in enumerate(params)}
    groups = [
        {**theirs, "params": [numbers[param] for param in ours["params"]]}
        for theirs, ours in zip(state_dict["param_groups"], bound.groups, strict=True)
    ]
    states = {numbers[param]: fields for param, fields in checked_states.states.items()}
    return {**state_dict, "state": states, "param_groups": groups}


def _older_record(
    bound: BoundState, state_dict: StateDict, file: str
) -> OptimizerRecord | None:
    """Return a state dict of an older version as a record; None if it is unknown.

    Groups are matched by number, so that there are as many.
    """
    groups: Sequence[dict[str, Any]] = state_dict["param_groups"]
    text = groups[0].get(LAYOUT) if groups else None
    module = bound.params.module
    if not isinstance(text, str) or module is None or len(groups) != len(bound.groups):
        return None
    data, paths = _parsed(text, groups, file)
    layout = ModuleLayout.read(data, file)
    current = versions_of(places_of(module))
    if not any(_is_older(layout, path, now) for path, now in current.items()):
        return None
    states = {
        str(number): ParamState(path, i, dict(fields))
        for i, group in enumerate(groups)
        for number, path in zip(group["params"], paths[i], strict=True)
        if isinstance(fields := state_dict["state"].get(number), Mapping)
    }
    kinds = [
        str(group.get("kind", ours["kind"]))
        for group, ours in zip(groups, bound.groups, strict=True)
    ]
    group_states = [GroupState(kind, {}, "") for kind in kinds]
    record = OptimizerRecord(kinds[0], True, group_states, states)
    beside = {str(i): group.get(BESIDE, ()) for i, group in enumerate(groups)}
    record.metadata[OPTIMIZER_KEY] = {"module": data, "beside": beside}
    return record


def _names(bound: BoundState) -> list[list[str]]:
    path_of = bound.params.path_of
    return [[path_of(p, fallback="") for p in g["params"]] for g in bound.groups]


def _stored_names(
    bound: BoundState, state_dict: StateDict, file: str
) -> list[list[str]] | None:
    """Return by group the paths of the parameters; None if they are not stored."""
    groups: Sequence[dict[str, Any]] = state_dict["param_groups"]
    if not groups:
        return None
    if isinstance(text := groups[0].get(LAYOUT), str):
        _, paths = _parsed(text, groups, file)
        return [[str(p) if p != FOREIGN else "" for p in names] for names in paths]
    # torch's own, of an optimizer created from named parameters
    names_by_group: list[Any] = [group.get("param_names") for group in groups]
    if not all(isinstance(names, list) for names in names_by_group):
        return None
    return [[str(name) for name in names] for names in names_by_group]


_CURE = (
    "The optimizer is unchanged. load_record with a file from save_record "
    "matches parameters by name, in any groups and any order. A state dict "
    "needs the groups that were saved; if only names have changed and the "
    "order is right, remove 'layout' (in torch's: 'param_names') from its "
    "groups, and it is loaded by position."
)


def _is_older(layout: ModuleLayout, path: str, version: int) -> bool:
    stored_version = layout.versions.get(path, 0)
    # An invalid version is reported by the code that applies the rules.
    return type(stored_version) is not int or stored_version < version


def _parsed(
    text: str, groups: Sequence[StateDict], file: str
) -> tuple[Any, list[list[str]]]:
    """Return the module's description, and the paths of each group's parameters."""
    try:
        data = json.loads(text)
        paths = data["paths"]
        counts = [len(group["params"]) for group in groups]
        if [len(of_group) for of_group in paths] == counts:
            return data["module"], paths
    except (ValueError, KeyError, TypeError):
        pass
    problem = f"its first group has {text!r:.60} as its {LAYOUT!r}"
    raise RecordMismatchError(file, [f"{problem}, expected the paths of parameters"])
