"""Dtypes of the states of torch's optimizers, which torch changes when it loads them.

It casts floating states to the dtype of their parameters. An optimizer that keeps one
in another dtype (`NAdam` of bfloat16 parameters) would take other steps after a load.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from ...optim.stored.param_order import params_by_number
from ...records.tensors.dtypes import name_of_dtype

_KEY = "dtypes"

_STEP = "step"
"""A state of this name is not cast: torch decides by its key where it belongs."""


def dtypes_of_params(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the dtypes of the parameters, by group, under a key.

    Nothing if each state has the dtype of its parameter, as nearly all have.
    """
    if not any(_has_other(param, state) for param, state in optimizer.state.items()):
        return {}
    groups = [
        [name_of_dtype(param.dtype) for param in group["params"]]
        for group in optimizer.param_groups
    ]
    return {_KEY: groups}


def cast_where_unknown(
    optimizer: torch.optim.Optimizer,
    state_dict: dict[str, Any],
    description: Mapping[str, Any],
    stored_groups: Any,
) -> dict[str, Any]:
    """Return ``state_dict`` with states in the dtypes for `load_in_dtypes`.

    States of a parameter that has the dtype now that it had when it was saved stay as
    they are, others are cast to its dtype, as torch does. ``description`` has the
    result of `dtypes_of_params`, ``stored_groups`` the numbers in the order of then.
    """
    names = chain.from_iterable(description.get(_KEY, ()))
    numbers = chain.from_iterable(group["params"] for group in stored_groups)
    stored_dtypes = dict(zip(numbers, names, strict=False))
    states = dict(state_dict.get("state", {}))
    for number, param in params_by_number(optimizer, state_dict):
        is_same = stored_dtypes.get(number) == name_of_dtype(param.dtype)
        if number in states and not is_same:
            states[number] = _cast(states[number], param.dtype)
    return {**state_dict, "state": states}


def load_in_dtypes(
    optimizer: torch.optim.Optimizer,
    load: Callable[[Any], object],
    state_dict: Any,
) -> None:
    """Call ``load``, the optimizer's own; states get the dtypes of ``state_dict``."""
    load(state_dict)
    if not isinstance(state_dict, Mapping) or "param_groups" not in state_dict:
        return
    states: Mapping[Any, Any] = state_dict.get("state", {})
    for number, param in params_by_number(optimizer, state_dict):
        if number in states and param in optimizer.state:
            loaded = optimizer.state[param]
            optimizer.state[param] = _in_dtypes(loaded, states[number])


def _has_other(param: object, state: object) -> bool:
    return (
        isinstance(param, Tensor)
        and isinstance(state, Mapping)
        and any(
            key != _STEP and _is_floating(value) and value.dtype != param.dtype
            for key, value in state.items()
        )
    )


def _cast(state: Any, dtype: torch.dtype) -> Any:
    if not isinstance(state, Mapping) or not dtype.is_floating_point:
        return state
    return {
        key: value.to(dtype) if key != _STEP and _is_floating(value) else value
        for key, value in state.items()
    }


def _in_dtypes(loaded: Any, stored_state: Any) -> Any:
    """Return ``loaded``, with the stored values where it has them in another dtype."""
    if not isinstance(loaded, dict) or not isinstance(stored_state, Mapping):
        return loaded
    changed_values = {
        key: stored_state[key].detach().to(value.device, copy=True)
        for key, value in loaded.items()
        if key != _STEP
        and _is_floating(value)
        and _is_floating(stored_state.get(key))
        and stored_state[key].dtype != value.dtype
    }
    loaded.update(changed_values)
    return loaded


def _is_floating(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
