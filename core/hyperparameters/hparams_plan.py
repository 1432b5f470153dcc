"""What is going to be made from hyperparameters, once all of it was found good."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from .torch_layers import Values


@dataclass(frozen=True, slots=True)
class Plan:
    """A constructor that is going to run."""

    cls: type[nn.Module]
    path: str
    arguments: dict[str, Any]
    node: Mapping[str, Any]
    read: Callable[[Any], nn.Module] | None = None
    """The class's own ``from_hyperparameters``, which takes the node as it is."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of modules, planned by its items."""

    cls: type[nn.Module]
    path: str
    items: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ref:
    """The module that stands at another path."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Partial:
    """A class with some of its arguments."""

    cls: type[nn.Module]
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Struct:
    """An object of a dataclass that an argument declares."""

    cls: type
    path: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Passed:
    """An argument of the call itself, which is taken as it is."""

    path: str
    value: Any


def passed_values(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call in ``node``, those of ``**kwargs`` included."""
    found: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, Passed):
            found[name] = value.value
        elif isinstance(value, Mapping):
            found |= {k: v.value for k, v in value.items() if isinstance(v, Passed)}  # pyright: ignore[reportUnknownVariableType]  # data
    return found


def has_plans(value: Any) -> bool:
    """Return whether anything in ``value`` is still to be made."""
    if isinstance(value, dict):
        return any(map(has_plans, value.values()))  # pyright: ignore[reportUnknownArgumentType]  # data
    if isinstance(value, list | tuple):
        return any(map(has_plans, value))  # pyright: ignore[reportUnknownArgumentType]  # data
    plans = Plan | Ref | Container | Partial | Passed | Struct | Values | type
    return isinstance(value, plans)
