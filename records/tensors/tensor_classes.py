"""Classes of tensors that wrap others, and which of them files may name."""

import types
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from torch import Tensor

from .memory import ORDINARY, is_distributed

_Classes: TypeAlias = Mapping[tuple[str, str], type[Tensor]]


def is_wrapper(tensor: Tensor) -> bool:
    """Return whether the values of ``tensor`` are in inner tensors that it names."""
    cls = type(tensor)
    return (
        cls not in ORDINARY
        and hasattr(cls, "__tensor_flatten__")
        and hasattr(cls, "__tensor_unflatten__")
        and not (tensor.is_nested or is_distributed(tensor))
    )


@contextmanager
def allow_tensor_classes(*classes: type[Tensor]) -> Generator[None]:
    """Let files name ``classes`` inside the block, in this thread or task alone."""
    classes_by_name = {(cls.__module__, cls.__qualname__): cls for cls in classes}
    # A context variable, since other threads and tasks must not trust these classes.
    token = _allowed.set({**_allowed.get(), **classes_by_name})
    try:
        yield
    finally:
        _allowed.reset(token)


def allowed_tensor_class(module: str, name: str) -> type[Tensor] | None:
    """Return the class of tensors with this name in files; None if none is allowed."""
    return _allowed.get().get((module, name))


_none: _Classes = types.MappingProxyType({})
_allowed: ContextVar[_Classes] = ContextVar("_allowed", default=_none)
