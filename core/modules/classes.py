"""Module classes: the declared class of an instance, torch's own, decorated ones."""

import sys
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from ...config.classes.remembered import remembered

T = TypeVar("T")


def by_class(find: Callable[[type[nn.Module]], T]) -> Callable[[type[nn.Module]], T]:
    """Cache the result of ``find`` for a class."""
    return remembered(find)


@by_class
def declared_class(cls: type[nn.Module]) -> type[nn.Module]:
    """Return ``Linear`` for ``ParametrizedLinear`` and ``FSDPLinear``, else ``cls``."""
    modules = (base for base in cls.__mro__ if issubclass(base, nn.Module))
    return next(base for base in modules if not _is_derived(base))


def is_decorated(cls: type[nn.Module]) -> bool:
    """Return whether ``cls`` or a parent is a class of `@burnish.module`."""
    return hasattr(cls, "_burnish_skip")


def declaration(cls: type, options: str) -> str:
    """Return how ``options`` are written in the declaration of ``cls``."""
    if getattr(cls, "_burnish_is_base", False):
        return f"class {cls.__name__}(burnish.Module, {options})"
    return f"@burnish.module({options})"


def is_of_torch(function: object) -> bool:
    """Return whether ``function``, or the class of a callable, is torch's own."""
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0] == "torch"


@cache
def torch_classes() -> frozenset[type[nn.Module]]:
    """Return the public module classes of ``torch.nn``."""
    public = (getattr(nn, name) for name in dir(nn))
    classes = {c for c in public if isinstance(c, type) and issubclass(c, nn.Module)}
    # Attention creates the last one itself, and torch.nn does not export it.
    return frozenset(classes - {nn.DataParallel} | {NonDynamicallyQuantizableLinear})


def _is_derived(cls: type) -> bool:
    """Return whether torch created ``cls``, which is not in the module it claims."""
    if str(cls.__module__).partition(".")[0] != "torch":
        return False
    return getattr(sys.modules.get(cls.__module__), cls.__name__, None) is not cls
