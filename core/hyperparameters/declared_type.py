"""Which hyperparameters a module class declares; found without loading pydantic."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..modules.classes import by_class
from ..modules.signature import parameters_of
from . import plain


class HparamsOfClass:
    """The class attribute ``Hparams`` of a decorated class that gives none itself."""

    def __get__(self, module: Any, cls: type[nn.Module]) -> Any:
        return _made(cls)


def declared_type(cls: type[nn.Module]) -> type | None:
    """Return the ``Hparams`` that ``cls`` or a parent gives itself, None if none."""
    found = inspect.getattr_static(cls, "Hparams", None)
    return found if isinstance(found, type) else None


@by_class
def checker_of(cls: type[nn.Module]) -> Callable[[Mapping[str, Any]], None] | None:
    """Return what checks the arguments of ``cls`` before its constructor runs.

    None for a class that declares nothing: annotations alone are no check.
    """
    hints = plain.hints_of(cls)
    is_constrained = any(
        plain.is_constrained(hints[name]) for name in parameters_of(cls)
    )
    if declared_type(cls) is None and not is_constrained:
        return None
    from .declared import checker

    return checker(cls)


@by_class
def _made(cls: type[nn.Module]) -> Any:
    from .declared import made_type

    return made_type(cls)
