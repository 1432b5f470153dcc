"""The fields of a state, defined once for all code that reads or writes one."""

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


def _names(state_type: Any) -> tuple[str, ...]:
    if state_type is None:
        return ()
    return tuple(field.name for field in dataclasses.fields(state_type))


field_names: Callable[[type | None], tuple[str, ...]] = lru_cache(maxsize=4096)(_names)
"""The names that a state of a type stores, with private ones, without class variables.

None is the type of no state, which stores nothing.
"""


def fields_of_state(state: Any) -> dict[str, Any]:
    """Return the fields of a state by name; without a state there are none."""
    if state is None:
        return {}
    return {name: getattr(state, name) for name in field_names(type(state))}


def state_of(state_type: type | None, fields: dict[str, Any]) -> Any:
    """Return a state with the stored fields; a field that is not stored is None."""
    if state_type is None:
        return None
    state: Any = object.__new__(state_type)
    vars(state).update({name: fields.get(name) for name in field_names(state_type)})
    return state


def follow(fields: dict[str, Any], device: torch.device) -> None:
    """Move the tensors of a state to ``device``."""
    for name, value in fields.items():
        if isinstance(value, Tensor) and value.device != device:
            fields[name] = value.to(device)


def declared(state_type: type | None, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a type declares; tools may keep theirs beside them."""
    return {name: fields[name] for name in field_names(state_type) if name in fields}


def tensor_names(state: Any) -> set[str]:
    """Return the fields of a state, or of none, that hold tensors."""
    fields = fields_of_state(state).items()
    return {name for name, value in fields if isinstance(value, Tensor)}
