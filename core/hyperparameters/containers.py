"""Containers of torch among the arguments: which of them a list or dict stands for."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...config.fields import members
from ...config.path import join
from ..errors import HyperparameterError
from ..modules.shown import shown
from . import plain


def containers_of(node: Mapping[str, Any], path: str) -> dict[str, type[nn.Module]]:
    """Return which arguments are containers; raise HyperparameterError for others."""
    told = node.get(plain.CONTAINERS, {})
    known = {cls.__name__: cls for cls in plain.CONTAINERS_OF_TORCH}
    if not isinstance(told, Mapping) or not all(
        isinstance(kind, str) and kind in known for kind in told.values()
    ):
        raise HyperparameterError(
            join(path, plain.CONTAINERS),
            f"expected {list(known)}, found {shown(told)}",
        )
    return {name: known[kind] for name, kind in told.items()}


def declared_container(hint: Any, value: object) -> type[nn.Module] | None:
    """Return the container that is declared where the items of one stand."""
    declared = [m for m in members(hint) if m in plain.CONTAINERS_OF_TORCH]
    is_items = isinstance(value, list | tuple) or (
        isinstance(value, Mapping) and not plain.is_node(value)
    )
    return declared[0] if declared and is_items else None
