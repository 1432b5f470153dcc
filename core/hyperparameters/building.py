# pyright: reportPrivateUsage=false
# Nn.Module's tables have no public names.
"""From hyperparameters to a module: plan everything, then run the constructors."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from torch import nn

from ...config.path import join
from ..errors import HyperparameterError
from ..modules.registry import MODULE, NAME, class_named
from ..modules.shown import shown
from ..modules.signature import call
from .hparams_plan import Container, Partial, Passed, Plan, Ref, Struct
from .hparams_reader import Planner
from .known_arguments import builder_of
from .torch_layers import Values

M = TypeVar("M", bound=nn.Module)


@overload
def from_hyperparameters(hparams: Mapping[str, Any]) -> nn.Module: ...
@overload
def from_hyperparameters(hparams: Mapping[str, Any], cls: type[M]) -> M: ...
def from_hyperparameters(
    hparams: Mapping[str, Any], cls: type[nn.Module] | None = None
) -> nn.Module:
    """Return the module that ``hparams`` describe, each built once by its constructor.

    Without ``cls`` the class is the known one that they name; given, it is trusted,
    and so is the module that it was moved to.  Nothing is imported, and no constructor
    runs before all names and arguments were found good.  Raises `UnknownClassError`
    or `HyperparameterError`, with the path of what is wrong.
    """
    return planned(hparams, cls)()


def planned(
    hparams: Mapping[str, Any], cls: type[nn.Module] | None = None
) -> Callable[[], nn.Module]:
    """Return what builds the module, once everything was found good."""
    if not isinstance(hparams, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # files say anything
        raise HyperparameterError("", f"expected a dict, found {shown(hparams)}")
    planner = Planner(_moved(hparams, cls))
    try:
        if cls is not None:
            _check_class(cls, hparams)
        plan = planner.module(hparams, "", 0, cls)
    except RecursionError:
        raise HyperparameterError("", "nested too deep to be a module") from None
    return lambda: _Build().module(plan)


@dataclass(slots=True)
class _Build:
    """Runs the constructors of a plan, arguments first."""

    built: dict[str, nn.Module] = field(default_factory=dict[str, nn.Module])

    def module(self, plan: Plan) -> nn.Module:
        arguments = {name: self.value(v) for name, v in plan.arguments.items()}
        try:
            if plan.read is not None:
                module = plan.read(dict(plan.node))
            else:
                module = (builder_of(plan.cls) or call)(plan.cls, arguments)
        except HyperparameterError:
            raise
        except Exception as error:
            name = plan.cls.__qualname__
            raise HyperparameterError(
                plan.path, f"{name} cannot be built of this: {_told(error)}"
            ) from error
        self.built[plan.path] = module
        return module

    def value(self, value: Any) -> Any:
        if isinstance(value, Plan):
            return self.module(value)
        if isinstance(value, Passed):
            if isinstance(value.value, nn.Module):
                self.built[value.path] = value.value
            return value.value
        if isinstance(value, Container):
            return self._container(value)
        if isinstance(value, Ref):
            return self._referred(value)
        if isinstance(value, Partial):
            given = {name: self.value(item) for name, item in value.arguments.items()}
            return functools.partial(value.cls, **given)
        if isinstance(value, Values):
            return value.make()
        if isinstance(value, Struct):
            return self._struct(value)
        if isinstance(value, dict):
            items = ((key, self.value(item)) for key, item in value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # data
            return type(value)(items)  # pyright: ignore[reportUnknownVariableType]  # a dict or an OrderedDict
        if type(value) in (list, tuple):
            return type(value)(self.value(item) for item in value)
        return value

    def _struct(self, planned: Struct) -> Any:
        fields = {name: self.value(item) for name, item in planned.fields.items()}
        try:
            return planned.cls(**fields)
        except Exception as error:
            name = planned.cls.__qualname__
            raise HyperparameterError(
                planned.path, f"{name} cannot be made of this: {_told(error)}"
            ) from error

    def _container(self, planned: Container) -> nn.Module:
        container = planned.cls()
        for name, item in planned.items.items():
            container.add_module(name, self.value(item))
        self.built[planned.path] = container
        return container

    def _referred(self, ref: Ref) -> nn.Module:
        path, rest = ref.target, ""
        while path:
            if path in self.built:
                return self._below(self.built[path], rest, ref)
            path, _, last = path.rpartition(".")
            rest = join(last, rest)
        raise HyperparameterError(ref.path, f"nothing was built at {shown(ref.target)}")

    def _below(self, module: nn.Module, rest: str, ref: Ref) -> nn.Module:
        for name in rest.split(".") if rest else ():
            child = module._modules.get(name)
            if child is None:
                raise HyperparameterError(
                    ref.path,
                    f"{shown(ref.target)} has no module {shown(name)}",
                )
            module = child
        return module


def _moved(hparams: Mapping[str, Any], cls: type[nn.Module] | None) -> dict[str, str]:
    """Return where the module of the class in hand has moved to, for its neighbours."""
    module = hparams.get(MODULE)
    if cls is None or not isinstance(module, str):
        return {}
    return {module: cls.__module__}


def _check_class(cls: type[nn.Module], hparams: Mapping[str, Any]) -> None:
    """Refuse hyperparameters that are known to be those of an unrelated class."""
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"cls is a class of modules, got {shown(cls)}")
    if NAME not in hparams or hparams[NAME] == cls.__qualname__:
        return
    try:
        named = class_named(hparams)
    except HyperparameterError:
        return
    if not issubclass(cls, named):
        name = named.__qualname__
        raise HyperparameterError(
            "",
            f"these are hyperparameters of {name}, not of {cls.__qualname__}. "
            f"Use {name}.from_hyperparameters, or burnish.from_hyperparameters. If the "
            "class was renamed, remove the old one, and call "
            f"burnish.register_class({cls.__qualname__}, name={name!r}).",
        )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error!s:.400}"
