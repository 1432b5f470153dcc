"""What is going to be built from hyperparameters, once all was checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...config.plain.node import AS_THEY_ARE
from ..modules.registry import Node
from .torch_layers import Values


@dataclass(frozen=True, slots=True)
class ModulePlan:
    """A constructor that is going to run."""

    cls: type[nn.Module]
    path: str
    arguments: dict[str, Any]
    node: Node
    read: Callable[[Any], nn.Module] | None = None
    """The class's own ``from_hyperparameters``, which takes the node as it is."""


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """A container of modules, planned by its items."""

    cls: type[nn.Module]
    path: str
    items: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """The module that stands at another path."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class PartialPlan:
    """A class with some of its arguments."""

    cls: type[nn.Module]
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StructPlan:
    """An object of a dataclass that an argument declares."""

    cls: type
    path: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PassedArgument:
    """An argument of the call itself, which is taken as it is."""

    path: str
    value: Any


def passed_values(node: Node) -> dict[str, Any]:
    """Return the arguments of the call in ``node``, those of ``**kwargs`` included."""
    arguments: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, PassedArgument):
            arguments[name] = value.value
        elif isinstance(value, Mapping):
            arguments |= {
                k: v.value for k, v in value.items() if isinstance(v, PassedArgument)
            }  # pyright: ignore[reportUnknownVariableType]  # data
    return arguments


def has_plans(value: object) -> bool:
    """Return whether anything in ``value`` is still to be made."""
    if type(value) in AS_THEY_ARE:
        return False
    if isinstance(value, dict):
        return any(map(has_plans, value.values()))  # pyright: ignore[reportUnknownArgumentType]  # data
    if isinstance(value, list | tuple):
        return any(map(has_plans, value))  # pyright: ignore[reportUnknownArgumentType]  # data
    plans = (
        ModulePlan
        | Reference
        | ContainerPlan
        | PartialPlan
        | PassedArgument
        | StructPlan
        | Values
        | type
    )
    return isinstance(value, plans)
