"""Muon (Jordan et al., 2024): momentum, orthogonalized by Newton-Schulz iterations."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..records.record import Record
from ..records.tensors.shares import is_sharded, share_of
from .checks import check_range
from .simple import SimpleOptimizer

_LEARNING_RATES = (None, "original", "match_rms_adamw")


class MuonState(Record):
    """The running mean of the gradient."""

    momentum_buffer: Tensor


@dataclass(frozen=True, kw_only=True)
class Muon(SimpleOptimizer[MuonState]):
    """Step matrices by the orthogonal matrix nearest to their mean gradient.

    For hidden layers; give embeddings, heads, biases and norms to another optimizer
    with a `Group`. The iterations run in bfloat16, as torch's do.
    """

    batched: ClassVar[bool] = True
    _knows_shares: ClassVar[bool] = True

    weight_decay: float = 0.1
    """Weights shrink by this times the learning rate; at least 0."""
    momentum: float = 0.95
    """Decay factor of the mean gradient, at least 0."""
    nesterov: bool = True
    """Look ahead by one step of the mean."""
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315)
    """Coefficients of the quintic polynomial that is iterated."""
    eps: float = 1e-7
    """Smallest norm to divide by."""
    ns_steps: int = 5
    """Number of iterations, below 100."""
    adjust_lr_fn: str | None = None
    """``"original"`` (None): lr * sqrt(max(1, rows / columns)); ``"match_rms_adamw"``:
    lr * 0.2 * sqrt(max(rows, columns))."""

    def __post_init__(self) -> None:
        for name in ("weight_decay", "momentum", "eps"):
            check_range(name, getattr(self, name), 0.0)
        check_range("ns_steps", self.ns_steps, 0, 100)
        if self.adjust_lr_fn not in _LEARNING_RATES:
            raise ValueError(
                f"adjust_lr_fn must be one of {_LEARNING_RATES}, got "
                f"{self.adjust_lr_fn!r}"
            )

    def init(self, tensor: Tensor) -> MuonState:
        """Return the state before the first step."""
        if tensor.ndim != 2:
            raise ValueError(
                f"Muon steps matrices only, and this tensor is {tensor.ndim}-D; "
                "give it to another optimizer: Group('**.bias', "
                "optimizer=AdamW(), lr=...)"
            )
        return MuonState(torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: MuonState
    ) -> tuple[Tensor, MuonState]:
        """Return the new tensor and state."""
        mean = state.momentum_buffer.lerp(grad, 1 - self.momentum)
        ahead = grad.lerp(mean, self.momentum) if self.nesterov else mean
        update = orthogonalized(ahead, self.ns_coefficients, self.ns_steps, self.eps)
        size = lr * adjusted(self.adjust_lr_fn, *tensor.shape[-2:])
        decayed = tensor * (1 - lr * self.weight_decay)
        return decayed.add(update, alpha=-size), MuonState(mean)


def adjusted(rule: str | None, rows: int, columns: int) -> float:
    """Return the factor by which the learning rate grows with a matrix's shape."""
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


def orthogonalized(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Return matrices with singular values near 1, computed in bfloat16.

    There may be leading dimensions; the dtype is that of ``matrix``. Raises ValueError
    for anything but a matrix.
    """
    if matrix.ndim < 2:
        raise ValueError(
            f"Newton-Schulz iteration requires 2D tensors, got {matrix.ndim}D"
        )
    if is_sharded(matrix):
        # Products of sharded matrices are wrong in torch (2.13, addmm): only this part
        # of the step uses the whole, in the dtype of the iterations.
        full_matrix: list[Tensor] = [matrix.bfloat16().full_tensor()]  # type: ignore[attr-defined]  # of a DTensor
        share: Tensor = share_of(
            _iterated(full_matrix.pop, coefficients, steps, eps), matrix
        )
        return share.to(matrix.dtype)
    return _iterated(lambda: matrix.bfloat16(), coefficients, steps, eps).to(
        matrix.dtype
    )


def _iterated(
    matrix_of: Callable[[], Tensor],
    coefficients: tuple[float, float, float],
    steps: int,
    eps: float,
) -> Tensor:
    """Return the result of the iterations for a matrix in bfloat16.

    No more than three as large are in memory: the call that fetches the matrix releases
    it, and used intermediates are deleted.
    """
    a, b, c = coefficients
    matrix = matrix_of()
    multiply_add = torch.addmm if matrix.ndim == 2 else torch.baddbmm
    tall = matrix.size(-2) > matrix.size(-1)
    x = matrix.mT if tall else matrix
    del matrix
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        factor = multiply_add(gram, gram, gram, beta=b, alpha=c)
        del gram
        x = multiply_add(x, factor, x, beta=a)
        del factor
    return x.mT if tall else x
