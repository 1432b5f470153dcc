"""Norms of gradients, of which each process may have a share.

A gradient of finite values has a finite norm: half precision is summed in float32, and
if squares exceed a dtype the norm is computed differently. An infinite norm would
silently clip all gradients to 0.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..records.processes.messages import added
from ..records.tensors.shares import is_sharded, own_share


def norms(grads: Sequence[Tensor]) -> list[float]:
    """Return the Euclidean norm of each gradient, the same on all processes.

    Every process that has a share of one has to call this; gradients on one mesh,
    sharded along the same dimensions, are reduced in one message.
    """
    lengths = [0.0] * len(grads)
    shares: dict[tuple[Any, tuple[int, ...]], list[int]] = {}
    for i, grad in enumerate(grads):
        if is_sharded(grad):
            shares.setdefault(_spread(grad), []).append(i)
        else:
            lengths[i] = _length(_dense(grad))
    for (mesh, dims), positions in shares.items():
        squares = _squares_of_shares([grads[i] for i in positions], mesh, dims)
        if not all(map(math.isfinite, squares)):
            # All processes have the same squares, so all of them take this branch.
            spread = [grads[i] for i in positions]
            squares = _squares_of_shares(spread, mesh, dims, torch.float64)
        for i, square in zip(positions, squares, strict=True):
            lengths[i] = math.sqrt(square)
    return lengths


def total_norm(grads: Sequence[Tensor]) -> float:
    """Return the norm of all gradients together, the same on all processes."""
    if not any(is_sharded(grad) or grad.dtype in _SUMMED_IN for grad in grads):
        # Exactly torch's number, which it computes from all tensors at once.
        total = float(torch.nn.utils.get_total_norm([_dense(g) for g in grads]))
        if total != math.inf:
            return total
    lengths = norms(grads)
    # hypot() computes no squares, and for infinity and NaN together is infinite.
    return math.nan if any(map(math.isnan, lengths)) else math.hypot(*lengths)


_SUMMED_IN = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.complex32: torch.complex64,
}
"""Half precision has neither the range of a norm nor the precision of a factor."""


def _length(grad: Tensor) -> float:
    """Return the norm of a gradient that this process has as a whole."""
    wide = _SUMMED_IN.get(grad.dtype)
    length = float(torch.linalg.vector_norm(grad, dtype=wide))
    if length != math.inf:
        return length
    largest = float(grad.abs().max())
    if not math.isfinite(largest):
        return length
    grad = grad if wide is None else grad.to(wide)
    return largest * float(torch.linalg.vector_norm(grad / largest))


def _spread(grad: Any) -> tuple[Any, tuple[int, ...]]:
    """Return the mesh, and along which of its dimensions processes differ."""
    placements = enumerate(grad.placements)
    cut = [i for i, p in placements if not (p.is_replicate() or p.is_partial())]
    return grad.device_mesh, tuple(cut)


def _squares_of_shares(
    grads: list[Tensor],
    mesh: Any,
    dims: tuple[int, ...],
    dtype: torch.dtype | None = None,
) -> list[float]:
    """Return squared norms of gradients that are sharded alike on one mesh."""
    squares = torch.stack([_square_of_share(grad, dtype) for grad in grads])
    for dim in dims:
        squares = added(squares, group=mesh.get_group(dim))
    numbers: list[float] = squares.tolist()
    return numbers


def _square_of_share(grad: Any, dtype: torch.dtype | None) -> Tensor:
    """Return the squared norm of this process's part, in float64."""
    local = own_share(_summed(grad))
    if local.is_complex() and dtype is not None:
        local = torch.view_as_real(local.resolve_conj())
    dtype = dtype or _SUMMED_IN.get(local.dtype)
    length: Tensor = torch.linalg.vector_norm(local, dtype=dtype)
    return length.double().square()


def _summed(grad: Any) -> Any:
    """Return the gradient; if processes have summands of it, their sum."""
    if not any(p.is_partial() for p in grad.placements):
        return grad
    from torch.distributed.tensor import Replicate

    placements = [Replicate() if p.is_partial() else p for p in grad.placements]
    return grad.redistribute(placements=placements)


def _dense(grad: Tensor) -> Tensor:
    return grad.coalesce().values() if grad.is_sparse else grad
