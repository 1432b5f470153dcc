"""What torch uses itself and does not export."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

internals: Any = torch
"""torch, with the names that begin with an underscore."""

F = TypeVar("F", bound=Callable[..., Any])


def untraced(function: F) -> F:
    """Return ``function`` so that torch.compile breaks its graph at a call of it."""
    wrapped: F = internals._disable_dynamo(function)
    return wrapped


def guard_of(tensors: list[Tensor]) -> Any:
    """Return what checks other tensors against the forms of these, in one pass in C.

    It compares types, dtypes, devices, shapes and strides: what Dynamo compares before
    it runs a compiled graph. It holds none of the tensors.
    """
    sizes = [list(t.shape) for t in tensors]
    strides = [list(t.stride()) for t in tensors]
    guards = internals._C._dynamo.guards.TensorGuards
    return guards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides)
