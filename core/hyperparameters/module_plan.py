# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Plans for building what hyperparameters describe, carried out once all is valid.

Each constructor runs once, after those of its arguments.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from ...config.path import join
from ...config.plain.node import AS_THEY_ARE
from ...config.process.interrupts import raise_of_signal
from ...config.short_text import short_repr
from ..errors import HyperparameterError
from ..modules.registry import Node
from ..modules.signature import call
from .capture import builder_of
from .torch_layers import Values

Built: TypeAlias = dict[str, nn.Module]
"""The modules that a plan has built so far, by path."""


class Planned(ABC):
    """Something that is still to be built."""

    __slots__ = ()

    @abstractmethod
    def make(self, built: Built) -> Any:
        """Build it from its parts; modules are recorded in ``built``.

        Raises HyperparameterError with the path at which it fails.
        """


@dataclass(frozen=True, slots=True)
class ModulePlan(Planned):
    """A constructor that is to be called."""

    cls: type[nn.Module]
    path: str
    arguments: dict[str, Any]
    node: Node
    read: Callable[[Any], nn.Module] | None = None
    """The class's own ``from_hyperparameters``, which gets the node unchanged."""

    def make(self, built: Built) -> nn.Module:
        """Return the module."""
        arguments = {name: _make_within(v, built) for name, v in self.arguments.items()}
        try:
            if self.read is not None:
                module = self.read(dict(self.node))
            else:
                module = (builder_of(self.cls) or call)(self.cls, arguments)
        except HyperparameterError:
            raise  # its message has the path of an argument, which is more precise
        except torch.OutOfMemoryError:
            raise  # the device is full, for any arguments: the program may free memory
        except Exception as error:
            raise_of_signal(error)
            raise _failure(self.path, self.cls, error) from error
        built[self.path] = module
        return module


@dataclass(frozen=True, slots=True)
class ContainerPlan(Planned):
    """A container of modules, planned by its items."""

    cls: type[nn.Module]
    path: str
    items: dict[str, Any]

    def make(self, built: Built) -> nn.Module:
        """Return the container."""
        container = self.cls()
        for name, item in self.items.items():
            container.add_module(name, _make_within(item, built))
        built[self.path] = container
        return container


@dataclass(frozen=True, slots=True)
class Reference(Planned):
    """The module at another path."""

    path: str
    target: str

    def make(self, built: Built) -> nn.Module:
        """Return that module.

        The path may lead into parts that a constructor created itself, so the search
        starts from the nearest module above it that was built.
        """
        path, below = self.target, ""
        while path:
            if path in built:
                return self._descend(built[path], below)
            path, _, name = path.rpartition(".")
            below = join(name, below)
        raise HyperparameterError(
            self.path, f"nothing was built at {short_repr(self.target)}"
        )

    def _descend(self, module: nn.Module, path: str) -> nn.Module:
        for name in path.split(".") if path else ():
            child = module._modules.get(name)
            if child is None:
                raise HyperparameterError(
                    self.path,
                    f"{short_repr(self.target)} has no module {short_repr(name)}",
                )
            module = child
        return module


@dataclass(frozen=True, slots=True)
class PartialPlan(Planned):
    """A class with some of its arguments."""

    cls: type[nn.Module]
    arguments: dict[str, Any]

    def make(self, built: Built) -> Any:
        """Return the partial."""
        arguments = {
            name: _make_within(item, built) for name, item in self.arguments.items()
        }
        return functools.partial(self.cls, **arguments)


@dataclass(frozen=True, slots=True)
class StructPlan(Planned):
    """An object of a dataclass that an argument declares."""

    cls: type
    path: str
    fields: dict[str, Any]

    def make(self, built: Built) -> Any:
        """Return the object."""
        fields = {name: _make_within(item, built) for name, item in self.fields.items()}
        try:
            return self.cls(**fields)
        except Exception as error:
            raise_of_signal(error)
            raise _failure(self.path, self.cls, error) from error


@dataclass(frozen=True, slots=True)
class PassedArgument(Planned):
    """An argument of the call itself, which is used unchanged."""

    path: str
    value: Any

    def make(self, built: Built) -> Any:
        """Return the argument."""
        if isinstance(self.value, nn.Module):
            built[self.path] = self.value
        return self.value


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
    """Return whether anything in ``value`` is still to be built."""
    if type(value) in AS_THEY_ARE:
        return False
    if isinstance(value, dict):
        return any(map(has_plans, value.values()))  # pyright: ignore[reportUnknownArgumentType]  # data
    if isinstance(value, list | tuple):
        return any(map(has_plans, value))  # pyright: ignore[reportUnknownArgumentType]  # data
    return isinstance(value, Planned | Values | type)


def _make_within(value: Any, built: Built) -> Any:
    """Return ``value`` with everything planned in it built."""
    if type(value) in AS_THEY_ARE:
        return value
    if isinstance(value, Planned):
        return value.make(built)
    if isinstance(value, Values):
        return value.make()
    if isinstance(value, dict):
        items = ((key, _make_within(item, built)) for key, item in value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # data
        return type(value)(items)  # pyright: ignore[reportUnknownVariableType]  # a dict or an OrderedDict
    if type(value) in (list, tuple):
        return type(value)(_make_within(item, built) for item in value)
    return value


def _failure(path: str, cls: type, error: Exception) -> HyperparameterError:
    return HyperparameterError(
        path,
        f"{cls.__qualname__} cannot be built from this: "
        f"{type(error).__name__}: {error!s:.400}",
    )
