"""The numbers of parameters in state dicts, converted to an optimizer's order.

A state dict matches parameters by their number. If names are known on both sides, a
state follows its name instead.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import torch

from ...records.errors import RecordMismatchError

Names: TypeAlias = Sequence[Sequence[str]]
"""By group, the names of parameters in the order of the group; empty if unknown."""


def in_order_of(
    names: Names,
    stored_names: Names,
    present: Container[str],
    state_dict: dict[str, Any],
    file: str,
    cure: str,
) -> dict[str, Any]:
    """Return ``state_dict``, whose parameters had ``stored_names``, in order of names.

    Within a group states are brought to the present order. Raises RecordMismatchError,
    with ``cure``, for a stored parameter that is ``present`` and has another number
    beside others that were not saved, is in another group, or in none. If other
    parameters replace the missing names, or groups have other lengths, numbers are
    kept, as in torch.
    """
    lengths = [len(group["params"]) for group in state_dict["param_groups"]]
    if not [*map(len, names)] == [*map(len, stored_names)] == lengths:
        return state_dict
    problems = _moves_of_params(names, stored_names, present)
    if not problems:
        return state_dict
    orders = [_order(*of_group) for of_group in zip(names, stored_names, strict=True)]
    groups = [
        {**group, "params": [group["params"][at] for at in order]}
        for group, order in zip(state_dict["param_groups"], orders, strict=True)
        if order is not None
    ]
    if len(groups) < len(orders):
        raise RecordMismatchError(file, problems, cure)
    return {**state_dict, "param_groups": groups}


def params_by_number(
    optimizer: torch.optim.Optimizer, state_dict: Mapping[str, Any]
) -> Iterable[tuple[int, Any]]:
    """Return the parameters of an optimizer with the numbers of their states."""
    groups, stored_groups = optimizer.param_groups, state_dict["param_groups"]
    params = chain.from_iterable(group["params"] for group in groups)
    numbers = chain.from_iterable(group["params"] for group in stored_groups)
    return zip(numbers, params, strict=False)


def _moves_of_params(
    names: Names, stored_names: Names, present: Container[str]
) -> list[str]:
    """Report parameters with another number than when they were saved, or none."""
    current = _numbers(names)
    return [
        f"{name}: was number {place[1]} of group {place[0]} when saved, and is "
        + _place_text(current.get(name))
        for name, place in _numbers(stored_names).items()
        if (name in current or name in present) and current.get(name) != place
    ]


def _place_text(place: tuple[int, int] | None) -> str:
    if place is None:
        return "in the module, but not in the optimizer"
    return f"number {place[1]} of group {place[0]}"


def _numbers(names: Names) -> dict[str, tuple[int, int]]:
    """Return the group and the number there of each name."""
    return {
        name: (i, j)
        for i, group in enumerate(names)
        for j, name in enumerate(group)
        if name
    }


def _order(names: Sequence[str], stored_names: Sequence[str]) -> list[int] | None:
    """Return the old index of each parameter of a group; None if they have changed."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(stored_names):
        places[name].append(at)
    try:
        return [places[name].pop(0) for name in names]
    except IndexError:
        return None
