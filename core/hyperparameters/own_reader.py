"""Classes that read hyperparameters in a way of their own."""

from collections.abc import Callable
from typing import Any

from torch import nn

_CORE = (__package__ or "burnish.core.hyperparameters").rpartition(".")[0]
"""Where the method that every decorated class gets is written."""


def own_reader(cls: type[nn.Module]) -> Callable[[Any], nn.Module] | None:
    """Return ``from_hyperparameters`` of ``cls`` if its author wrote it."""
    for base in cls.__mro__:
        found = base.__dict__.get("from_hyperparameters")
        if found is not None:
            function = getattr(found, "__func__", found)
            own = not str(getattr(function, "__module__", "")).startswith(_CORE)
            asked: Any = cls
            return asked.from_hyperparameters if own else None
    return None
