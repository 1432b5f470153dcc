"""Names of the parameters of a torch optimizer, which numbers them in its state."""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import nn

from ...config.path import join
from ...core.evolution.upgrading import rewriting_rules, upgrade_names
from ...core.modules.tree import places_of
from ...core.modules.versions import versions_of
from ...core.state.entries import named_tensors
from ...optim.stored.param_order import in_order_of
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from .state_dtypes import dtypes_of_params

KEY = "torch_optimizer"
"""The metadata key of a state for the class of its optimizer, and names by group."""

STATE_KEY = "blob"
"""The metadata key of an object of a HyperState for its kind, with the same content."""


def names_of_params(
    optimizer: torch.optim.Optimizer, modules: Mapping[str, nn.Module]
) -> dict[str, Any]:
    """Return the metadata of ``optimizer`` under `KEY`: its kind, and names by group.

    A name consists of the module's name and the path there; both are empty for a
    parameter of an unknown module. Versions of the modules' classes are added, if there
    are any, and the dtypes of the parameters, if a state has another one.
    """
    return {
        "kind": type(optimizer).__name__,
        "groups": _names_by_group(optimizer, _names_by_id(modules)),
        **versions_beside(modules),
        **dtypes_of_params(optimizer),
    }


def versions_beside(modules: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Return the versions of the modules' classes under a key, if there are any."""
    versions = {name: versions_of(places_of(m)) for name, m in modules.items()}
    return {"versions": versions} if any(versions.values()) else {}


def _names_by_group(
    optimizer: torch.optim.Optimizer, names: Mapping[int, tuple[str, str]]
) -> list[list[list[str]]]:
    return [
        [[*names.get(id(param), ("", ""))] for param in group["params"]]
        for group in optimizer.param_groups
    ]


def _names_by_id(modules: Mapping[str, nn.Module]) -> dict[int, tuple[str, str]]:
    names: dict[int, tuple[str, str]] = {}
    for module_name, module in modules.items():
        for path, kind, tensor in named_tensors(places_of(module)):
            if kind == "parameter":
                names.setdefault(id(tensor), (module_name, path))
    return names


def in_order_of_params(
    optimizer: torch.optim.Optimizer,
    modules: Mapping[str, nn.Module],
    stored_params: Mapping[str, Any],
    state_dict: dict[str, Any],
    file: str,
    cure: str = "",
) -> dict[str, Any]:
    """Return a state dict whose parameters are numbered as those of ``optimizer``.

    Its states follow their names in ``modules``, if they are in ``stored_params``, the
    result of `names_of_params`, after renames by rules of newer classes. Raises
    RecordMismatchError, with ``cure``, if a state would get to another parameter.
    """
    cure = cure or _CURE
    if not stored_params:
        return state_dict
    names_by_id = _names_by_id(modules)
    names = _joined(_names_by_group(optimizer, names_by_id))
    stored_names = _joined(carried_names(stored_params, modules, file))
    present = {join(*name) for name in names_by_id.values()}
    ordered = in_order_of(names, stored_names, present, state_dict, file, cure)
    if ordered is not state_dict and isinstance(optimizer, torch.optim.LBFGS):
        # Its state is that of all parameters together, concatenated.
        problem = "the parameters of LBFGS were in a different order when it was saved"
        raise RecordMismatchError(file, [problem], cure)
    return ordered


_CURE = (
    "The optimizer was not changed. Build it with the groups and the order "
    "that were saved. If only the names of the parameters differ, restore "
    "it in a separate call, checkpoints.restore(optim=optimizer): without "
    "its module in the same call, parameters are matched by order."
)


def carried_names(
    stored_params: Mapping[str, Any], modules: Mapping[str, nn.Module], file: str
) -> Any:
    """Return the names in ``stored_params``, after the rules of ``modules``.

    They are by group. Both parts of a name are empty if a rule deleted the parameter.
    """
    groups, versions = (
        stored_params.get("groups", ()),
        stored_params.get("versions", {}),
    )
    if versions == versions_beside(modules).get("versions", {}):
        return groups
    try:
        names = {(module, path) for group in groups for module, path in group}
        versions_of_modules = {name: {**versions.get(name, {})} for name in modules}
    except (TypeError, ValueError, AttributeError):
        return ()  # they are not names
    carried: dict[tuple[str, str], list[str]] = {}
    for module_name, module in modules.items():
        paths = [path for name, path in names if name == module_name and path]
        upgrade = versions_of_modules[module_name], places_of(module), paths, file
        rules = rewriting_rules(*upgrade)
        if rules:
            raise _not_followed(module_name, rules, file)
        new_paths = upgrade_names(*upgrade)
        for path, new_path in new_paths.items():
            name = [module_name, new_path] if new_path else ["", ""]
            carried[module_name, path] = name
    return [
        [carried.get((module, path), [module, path]) for module, path in group]
        for group in groups
    ]


def _not_followed(
    module: str, rules: Mapping[str, object], file: str
) -> RecordMismatchError:
    """Return the error for states of torch that cannot follow upgrade rules."""
    problems = [
        f"{join(module, path)}: {rule} changes this parameter, and the state of a "
        "torch.optim optimizer cannot follow"
        for path, rule in rules.items()
    ]
    cure = (
        "The optimizer was not changed. To start it from scratch, restore the "
        "other parts without it. Optimizers of burnish.optim follow such rules."
    )
    return RecordMismatchError(file, problems, cure)


def _joined(groups: Any) -> list[list[str]]:
    """Return each name as one string; an empty list if they are not names."""
    try:
        return [
            [join(str(module), str(path)) if path else "" for module, path in group]
            for group in groups
        ]
    except (TypeError, ValueError):
        return []


def stored_names(
    record: FlatRecord, state_dict: Mapping[str, Any]
) -> dict[object, str]:
    """Return the names that are stored with a state, by the number of the parameter.

    A name is a path in the module; if parameters of several modules are stepped, it
    begins with the module's name.
    """
    groups = state_dict["param_groups"]
    numbers = chain.from_iterable(group["params"] for group in groups)
    if all("param_names" in group for group in groups):
        # torch's own, of an optimizer created from named parameters
        names: Iterable[str] = chain.from_iterable(g["param_names"] for g in groups)
    else:
        names = _described_names(record)
    return {n: name for n, name in zip(numbers, names, strict=False) if name}


def stored_kind(record: FlatRecord) -> str:
    """Return the name of the optimizer's class, empty if it is not stored."""
    return str(described_in(record).get("kind", ""))


def described_in(record: FlatRecord) -> Mapping[str, Any]:
    """Return the result of `names_of_params` when the record of a state was made."""
    description: Any = record.metadata.get(KEY)
    if description is None:
        blob: Any = record.metadata.get(STATE_KEY)
        description = blob.get("about") if isinstance(blob, Mapping) else None  # pyright: ignore[reportUnknownMemberType]  # any data
    return description if isinstance(description, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]  # any data


def _described_names(record: FlatRecord) -> list[str]:
    """Return the names of all groups in order; none if they are not names."""
    groups: Any = described_in(record).get("groups", ())
    try:
        names = [(str(module), str(path)) for group in groups for module, path in group]
    except (TypeError, ValueError):
        return []
    modules_named = {module for module, _ in names} - {""}
    return [join(*name) if len(modules_named) > 1 else name[1] for name in names]
