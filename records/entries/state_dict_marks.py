"""Marks of torch's state dicts: their names, and the versions of classes."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch

EXTRA_STATE = "_extra_state"
"""Torch's name of a module's extra state, which may be any data."""


def class_versions_of(state_dict: Mapping[str, object]) -> dict[str, int]:
    """Return the version of each module's class, which torch attaches to its dict."""
    versions: Any = getattr(state_dict, "_metadata", None)
    if not isinstance(versions, Mapping):
        return {}
    return {
        path: item["version"]
        for path, item in versions.items()
        if isinstance(path, str)
        and isinstance(item, Mapping)
        and type(item.get("version")) is int
    }


def with_class_versions(
    state_dict: OrderedDict[str, Any], versions: Mapping[str, object]
) -> OrderedDict[str, Any]:
    """Return ``state_dict`` with the versions of its classes attached as torch does."""
    if versions:
        state_dict.__dict__["_metadata"] = OrderedDict(
            (path, {"version": version}) for path, version in versions.items()
        )
    return state_dict


def is_module_state_dict(value: Mapping[Any, object]) -> bool:
    """Return whether these are names and tensors, or torch marked them so."""
    if not value or not all(isinstance(key, str) for key in value):
        return False
    is_modules = isinstance(getattr(value, "_metadata", None), Mapping)
    if not is_modules and not all(
        isinstance(item, torch.Tensor) or key.endswith(EXTRA_STATE)
        for key, item in value.items()
    ):
        return False
    return all(key and "\0" not in key and ".." not in key for key in value)
