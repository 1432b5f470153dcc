"""Names of the parameters of a torch optimizer, which numbers them in its state."""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import nn

from ...config.path import join
from ...records.flat_record import FlatRecord

KEY = "torch_optimizer"
"""Where the metadata of a state has the class of its optimizer, and names by group."""

STATE_KEY = "blob"
"""Where that of an object of a HyperState says what it is, with the same of these."""


def names_of_params(
    optimizer: torch.optim.Optimizer, modules: Mapping[str, nn.Module]
) -> dict[str, Any]:
    """Return what `KEY` has of ``optimizer``: its kind, and names by group.

    A name is that of the module and the path there; both are empty for a parameter of
    another one.
    """
    names: dict[int, tuple[str, str]] = {}
    for module_name, module in modules.items():
        for path, param in module.named_parameters():
            names.setdefault(id(param), (module_name, path))
    groups = [
        [[*names.get(id(param), ("", ""))] for param in group["params"]]
        for group in optimizer.param_groups
    ]
    return {"kind": type(optimizer).__name__, "groups": groups}


def stored_names(
    record: FlatRecord, state_dict: Mapping[str, Any]
) -> dict[object, str]:
    """Return the names that are stored with a state, by the number of the parameter.

    A name is a path in the module; where parameters of several modules are stepped, it
    begins with the module's.
    """
    groups = state_dict["param_groups"]
    numbers = chain.from_iterable(group["params"] for group in groups)
    if all("param_names" in group for group in groups):
        # torch's own, of an optimizer that was made of named parameters
        names: Iterable[str] = chain.from_iterable(g["param_names"] for g in groups)
    else:
        names = _described_names(record)
    return {n: name for n, name in zip(numbers, names, strict=False) if name}


def stored_kind(record: FlatRecord) -> str:
    """Return the name of the optimizer's class, empty if it is not stored."""
    return str(_described(record).get("kind", ""))


def _described(record: FlatRecord) -> Mapping[str, Any]:
    description: Any = record.metadata.get(KEY)
    if description is None:
        blob: Any = record.metadata.get(STATE_KEY)
        description = blob.get("about") if isinstance(blob, Mapping) else None  # pyright: ignore[reportUnknownMemberType]  # any data
    return description if isinstance(description, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]  # any data


def _described_names(record: FlatRecord) -> list[str]:
    """Return the names of all groups in order; none where they are no names."""
    groups: Any = _described(record).get("groups", ())
    try:
        names = [(str(module), str(path)) for group in groups for module, path in group]
    except (TypeError, ValueError):
        return []
    used = {module for module, _ in names} - {""}
    return [join(*name) if len(used) > 1 else name[1] for name in names]
