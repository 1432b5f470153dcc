"""The order in which the dimensions of a tensor lie in memory.

Payloads are in row-major order. A matrix that was in column-major order, as those of
`torch.linalg.eigh` and `qr` are, is multiplied by other code than its row-major copy,
and the last digits are others: a run that goes on has to have it as it was.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from .memory import ORDINARY

KEY = "memory_order"
"""Where our part of the metadata has the dimensions of tensors, outermost first."""


def memory_order(source: object) -> list[int] | None:
    """Return the dimensions of a live tensor, outermost first.

    None for one that is row-major, or has gaps, and for all that is no such tensor.
    """
    # Thousands pass here at every save, and nearly all are row-major.
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
        return None  # one that has no strides


def stored_orders(library_part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what our part of the metadata says of orders, whatever stands there."""
    orders: Any = library_part.get(KEY)
    return orders if isinstance(orders, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]  # data


def laid_out(tensor: Tensor, order: object) -> Tensor:
    """Return the values in memory of that order; the tensor itself if it has none."""
    if type(tensor) not in ORDINARY or 0 in tensor.stride():
        return tensor  # it is spread over processes, or stands for one without values
    dims: list[Any] = order if isinstance(order, list) else []  # pyright: ignore[reportUnknownVariableType]  # data
    if {*map(type, dims)} != {int} or sorted(dims) != [*range(tensor.ndim)]:
        return tensor  # no order of its dimensions
    permuted = tensor.permute(dims)
    if permuted.is_contiguous():
        return tensor
    return permuted.contiguous().permute([dims.index(i) for i in range(tensor.ndim)])
