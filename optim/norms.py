"""Norms of gradients, of which each process may have a share."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..records.processes.messages import added
from ..records.tensors.shares import is_sharded, own_share


def norms(grads: Sequence[Tensor]) -> list[float]:
    """Return the Euclidean norm of each gradient, on all processes the same.

    Every process that has a share of one has to call this; those on one mesh, cut along
    the same of its dimensions, take one message together.
    """
    lengths = [0.0] * len(grads)
    shares: dict[tuple[Any, tuple[int, ...]], list[int]] = {}
    for i, grad in enumerate(grads):
        if is_sharded(grad):
            shares.setdefault(_spread(grad), []).append(i)
        else:
            lengths[i] = float(torch.linalg.vector_norm(_dense(grad)))
    for (mesh, dims), positions in shares.items():
        squares = torch.stack([_square_of_share(grads[i]) for i in positions])
        for dim in dims:
            squares = added(squares, group=mesh.get_group(dim))
        for i, square in zip(positions, squares.tolist(), strict=True):
            lengths[i] = math.sqrt(square)
    return lengths


def total_norm(grads: Sequence[Tensor]) -> float:
    """Return the norm of all gradients together, on all processes the same."""
    if any(map(is_sharded, grads)):
        return math.sqrt(sum(length * length for length in norms(grads)))
    return float(torch.nn.utils.get_total_norm([_dense(g) for g in grads]))


def _spread(grad: Any) -> tuple[Any, tuple[int, ...]]:
    """Return the mesh, and along which of its dimensions processes differ."""
    placements = enumerate(grad.placements)
    cut = [i for i, p in placements if not (p.is_replicate() or p.is_partial())]
    return grad.device_mesh, tuple(cut)


def _square_of_share(grad: Any) -> Tensor:
    """Return the square of the norm of what this process has, in float64."""
    local = own_share(_summed(grad))
    # Half precision would lose what several processes have to add up.
    dtype = torch.float32 if local.dtype.itemsize < 4 else None
    length: Tensor = torch.linalg.vector_norm(local, dtype=dtype)
    return length.double().square()


def _summed(grad: Any) -> Any:
    """Return the gradient; where processes have summands of it, their sum."""
    if not any(p.is_partial() for p in grad.placements):
        return grad
    from torch.distributed.tensor import Replicate

    placements = [Replicate() if p.is_partial() else p for p in grad.placements]
    return grad.redistribute(placements=placements)


def _dense(grad: Tensor) -> Tensor:
    return grad.coalesce().values() if grad.is_sparse else grad
