# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Modules built of a plan: each constructor runs once, its arguments first."""

import functools
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ...config.path import join
from ...config.plain.node import AS_THEY_ARE
from ...config.process.interrupts import raise_of_signal
from ...config.short_text import short_repr
from ..errors import HyperparameterError
from ..modules.signature import call
from .capture import builder_of
from .module_plan import (
    ContainerPlan,
    ModulePlan,
    PartialPlan,
    PassedArgument,
    Reference,
    StructPlan,
)
from .torch_layers import Values


@dataclass(slots=True)
class Build:
    """Runs the constructors of a plan, arguments first."""

    built: dict[str, nn.Module] = field(default_factory=dict[str, nn.Module])

    def module(self, plan: ModulePlan) -> nn.Module:
        """Return the planned module; HyperparameterError says where it fails."""
        arguments = {name: self.value(v) for name, v in plan.arguments.items()}
        try:
            if plan.read is not None:
                module = plan.read(dict(plan.node))
            else:
                module = (builder_of(plan.cls) or call)(plan.cls, arguments)
        except HyperparameterError:
            raise  # it names the path of an argument, which says more than ours
        except Exception as error:
            raise_of_signal(error)
            name = plan.cls.__qualname__
            raise HyperparameterError(
                plan.path, f"{name} cannot be built from this: {_message_of(error)}"
            ) from error
        self.built[plan.path] = module
        return module

    def value(self, value: Any) -> Any:
        """Return ``value`` with everything in it built that is planned."""
        if type(value) in AS_THEY_ARE:
            return value
        if isinstance(value, ModulePlan):
            return self.module(value)
        if isinstance(value, PassedArgument):
            if isinstance(value.value, nn.Module):
                self.built[value.path] = value.value
            return value.value
        if isinstance(value, ContainerPlan):
            return self._container(value)
        if isinstance(value, Reference):
            return self._module_at(value)
        if isinstance(value, PartialPlan):
            arguments = {
                name: self.value(item) for name, item in value.arguments.items()
            }
            return functools.partial(value.cls, **arguments)
        if isinstance(value, Values):
            return value.make()
        if isinstance(value, StructPlan):
            return self._struct(value)
        if isinstance(value, dict):
            items = ((key, self.value(item)) for key, item in value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # data
            return type(value)(items)  # pyright: ignore[reportUnknownVariableType]  # a dict or an OrderedDict
        if type(value) in (list, tuple):
            return type(value)(self.value(item) for item in value)
        return value

    def _struct(self, planned: StructPlan) -> Any:
        fields = {name: self.value(item) for name, item in planned.fields.items()}
        try:
            return planned.cls(**fields)
        except Exception as error:
            raise_of_signal(error)
            name = planned.cls.__qualname__
            raise HyperparameterError(
                planned.path, f"{name} cannot be built from this: {_message_of(error)}"
            ) from error

    def _container(self, planned: ContainerPlan) -> nn.Module:
        container = planned.cls()
        for name, item in planned.items.items():
            container.add_module(name, self.value(item))
        self.built[planned.path] = container
        return container

    def _module_at(self, ref: Reference) -> nn.Module:
        # A reference may lead into what a constructor made of itself: the nearest
        # module above it that we built is the one to start from.
        path, below = ref.target, ""
        while path:
            if path in self.built:
                return self._descend(self.built[path], below, ref)
            path, _, name = path.rpartition(".")
            below = join(name, below)
        raise HyperparameterError(
            ref.path, f"nothing was built at {short_repr(ref.target)}"
        )

    def _descend(self, module: nn.Module, path: str, ref: Reference) -> nn.Module:
        for name in path.split(".") if path else ():
            child = module._modules.get(name)
            if child is None:
                raise HyperparameterError(
                    ref.path,
                    f"{short_repr(ref.target)} has no module {short_repr(name)}",
                )
            module = child
        return module


def _message_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error!s:.400}"
