"""The class that a program declares, without what torch derives from it at run time."""

import sys

from torch import nn

from .by_class import by_class


@by_class
def declared_class(cls: type[nn.Module]) -> type[nn.Module]:
    """Return ``Linear`` for ``ParametrizedLinear`` and ``FSDPLinear``, else ``cls``."""
    modules = (base for base in cls.__mro__ if issubclass(base, nn.Module))
    return next(base for base in modules if not _is_derived(base))


def _is_derived(cls: type) -> bool:
    """Return whether torch made ``cls``, which has no name in the module it claims."""
    if str(cls.__module__).partition(".")[0] != "torch":
        return False
    return getattr(sys.modules.get(cls.__module__), cls.__name__, None) is not cls
