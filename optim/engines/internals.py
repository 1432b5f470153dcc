"""What torch uses itself and does not export."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

internals: Any = torch
"""torch, with the names that begin with an underscore."""

F = TypeVar("F", bound=Callable[..., Any])


def untraced(function: F) -> F:
    """Return ``function`` so that torch.compile breaks its graph at a call of it."""
    wrapped: F = internals._disable_dynamo(function)
    return wrapped
