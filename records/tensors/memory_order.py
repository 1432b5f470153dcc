"""The order of a tensor's dimensions in memory.

Payloads are in row-major order. A matrix in column-major order, such as those of
`torch.linalg.eigh` and `qr`, is multiplied by other code than its row-major copy, with
other last digits: a resumed run must have it in its original order.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from .memory import ORDINARY

KEY = "memory_order"
"""The key of our part of the metadata for the dimensions, outermost first."""


def memory_order(source: object) -> list[int] | None:
    """Return the dimensions of a live tensor, outermost first.

    None for one that is row-major, or has gaps, and for other objects.
    """
    # This runs for thousands of tensors at every save, nearly all of them row-major.
    if not isinstance(source, Tensor) or type(source) not in ORDINARY:
        return None
    try:
        if source.is_contiguous():
            return None
        strides = source.stride()
        order = sorted(range(source.ndim), key=lambda dim: -strides[dim])
        return order if source.permute(order).is_contiguous() else None
    except RuntimeError as error:
        raise_of_signal(error)
        return None  # one without strides


def stored_orders(library_part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the orders in our part of the metadata, unchecked."""
    orders: Any = library_part.get(KEY)
    return orders if isinstance(orders, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]  # data


def laid_out(tensor: Tensor, order: object) -> Tensor:
    """Return the values in memory of that order; the tensor itself if it has none."""
    if type(tensor) not in ORDINARY or 0 in tensor.stride():
        return tensor  # it is distributed, or represents a tensor without values
    dims: list[Any] = order if isinstance(order, list) else []  # pyright: ignore[reportUnknownVariableType]  # data
    if {*map(type, dims)} != {int} or sorted(dims) != [*range(tensor.ndim)]:
        return tensor  # not an order of its dimensions
    permuted = tensor.permute(dims)
    if permuted.is_contiguous():
        return tensor
    return permuted.contiguous().permute([dims.index(i) for i in range(tensor.ndim)])
