"""Who knows what a module was made of, other than the module."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from ...config.registry import Registry
from ..modules.shown import shown
from . import capture
from .torch_layers import arguments_of, is_torch_layer

M = TypeVar("M", bound=nn.Module)

Getter = Callable[[Any], Mapping[str, Any]]
"""Returns the arguments that make a module like the one it is given."""

Builder = Callable[[type[Any], Mapping[str, Any]], nn.Module]
"""Makes a module of a class from its arguments, where a call of the class does not."""


def register_hparams(
    cls: type[M],
    getter: Getter,
    *,
    build: Builder | None = None,
    subclasses: bool = False,
) -> None:
    """Let ``getter`` tell the hyperparameters of modules of ``cls``.

    It returns the arguments of the constructor: plain data and modules.  ``build``
    makes a module of them where ``cls(**arguments)`` does not.  Files may name
    ``cls`` once `register_class` was told of it too.
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(
            f"hyperparameters are those of module classes, got {shown(cls)}"
        )
    _getters.register(cls, value=(getter, build, subclasses))


def builder_of(cls: type[nn.Module]) -> Builder | None:
    """Return what makes modules of ``cls`` instead of a call, if anything does."""
    _know_other_libraries()
    registered = _registered(cls, exact=False)
    return registered[1] if registered is not None else None


def known_arguments(
    module: nn.Module, cls: type[nn.Module]
) -> Mapping[str, Any] | None:
    """Return the arguments that ``module``, a ``cls``, was made of; None if unknown."""
    registered = _registered(cls, exact=True)
    if registered is None:
        _know_other_libraries()
        captured = capture.arguments_of(module)
        if captured is not None and not is_of_library(cls):
            return captured
        registered = _registered(cls, exact=False)
    if registered is not None:
        return registered[0](module)
    if is_torch_layer(cls):
        return arguments_of(module)
    if _asks_back(module):
        return None
    told = getattr(module, "hparams", None)
    return told if isinstance(told, Mapping) else None  # pyright: ignore[reportUnknownVariableType]  # a user's mapping


def ask_back(attribute: object) -> None:
    """Take note of a class attribute ``hparams`` that itself asks `known_arguments`."""
    _asking.append(attribute)


def _asks_back(module: nn.Module) -> bool:
    if "hparams" in module.__dict__:
        return False
    found = inspect.getattr_static(type(module), "hparams", None)
    return any(found is attribute for attribute in _asking)


_asking: list[object] = []


_getters: Registry[type[nn.Module], tuple[Getter, Builder | None, bool]] = Registry()


_waiting = {"transformers.modeling_utils": ".transformers_models"}
"""Modules of other libraries, and ours that know what they are made of."""


def _know_other_libraries() -> None:
    """Register what is made by libraries that the program has loaded by now."""
    # Another thread may do the same meanwhile: twice is as good as once.
    for theirs, name in [*_waiting.items()]:
        if theirs not in sys.modules:
            continue
        ours = importlib.import_module(name, __package__)
        if ours.register_models():
            _waiting.pop(theirs, None)


def is_of_library(cls: type[nn.Module]) -> bool:
    """Return whether a library's modules, of which ``cls`` is one, are known here.

    What such a library passes to constructors is no plain data, and its getter knows
    how to tell it, what a decorated subclass captured included.
    """
    return any(base in library_bases for base in cls.__mro__)


library_bases: set[type] = set()
"""The base classes of libraries of which we know what their modules are made of."""


def _registered(
    cls: type[nn.Module], *, exact: bool
) -> tuple[Getter, Builder | None, bool] | None:
    if exact:
        return _getters.get(cls)
    for base in cls.__mro__:
        found = _getters.get(base) if issubclass(base, nn.Module) else None
        if found is not None and (base is cls or found[2]):
            return found
    return None
