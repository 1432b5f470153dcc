"""SOAP (Vyas et al., 2024, arXiv:2409.11321): Adam in the eigenbasis of Shampoo.

`SOAP().bind(net, lr=3e-3)` steps a module; this file is all that it takes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

import burnish
from burnish.optim import SimpleOptimizer
from burnish.optim.simple import check_betas, check_range


class SOAPState(burnish.Record):
    """Adam's moments, as matrices; for each of two sides its mean outer product."""

    step: int
    mean: Tensor
    square: Tensor
    rows: Tensor | None
    columns: Tensor | None
    left: Tensor | None
    """Eigenvectors of ``rows``; None where a side is not turned."""
    right: Tensor | None


@dataclass(frozen=True, kw_only=True)
class SOAP(SimpleOptimizer[SOAPState]):
    """Turn the gradient to where its coordinates are uncorrelated, and step as Adam.

    A tensor of more dimensions is a matrix of its first by the others; a vector is
    not turned. The first gradient only sets the bases.
    """

    betas: tuple[float, float] = (0.95, 0.95)
    """Shares of the means that are kept, each in [0, 1); products as squares."""
    eps: float = 1e-8
    """Added to the denominator, at least 0."""
    weight_decay: float = 0.01
    """Weights shrink by this times the learning rate; at least 0."""
    frequency: int = 10
    """Steps from one change of the bases to the next, at least 1."""
    max_side: int = 10_000
    """A longer side is not turned."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        check_range("eps", self.eps, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)
        check_range("frequency", self.frequency, 1)

    def init(self, tensor: Tensor) -> SOAPState:
        zeros = torch.zeros_like(_matrix(tensor))
        sides = [
            tensor.new_zeros(n, n) if tensor.ndim > 1 and n <= self.max_side else None
            for n in zeros.shape
        ]
        return SOAPState(0, zeros, zeros, *sides, *sides)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: SOAPState
    ) -> tuple[Tensor, SOAPState]:
        (b1, b2), t, g = self.betas, state.step, _matrix(grad)
        rows, columns = _next(state.rows, g, b2), _next(state.columns, g.mT, b2)
        if t == 0:
            left, right = _eigenvectors(rows), _eigenvectors(columns)
            moments = state.mean, state.square
            return tensor, SOAPState(1, *moments, rows, columns, left, right)
        left, right = state.left, state.right
        mean = state.mean.lerp(g, 1 - b1)
        square = state.square.lerp(_turned(g, left, right).square(), 1 - b2)
        update = _turned(mean, left, right) / (square.sqrt() + self.eps)
        update = _turned(update, _back(left), _back(right)).reshape(tensor.shape)
        size = lr * (1 - b2**t) ** 0.5 / (1 - b1**t)
        moved = (tensor - update * size) * (1 - lr * self.weight_decay)
        if t % self.frequency == 0:
            left, square = _refreshed(left, rows, square)
            right, turned = _refreshed(right, columns, square.mT)
            square = turned.mT
        return moved, SOAPState(t + 1, mean, square, rows, columns, left, right)


def _matrix(tensor: Tensor) -> Tensor:
    return tensor.flatten(1) if tensor.ndim > 1 else tensor.reshape(1, tensor.numel())


def _next(product: Tensor | None, g: Tensor, share: float) -> Tensor | None:
    return None if product is None else product.lerp(g @ g.mT, 1 - share)


def _turned(matrix: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    matrix = matrix if left is None else left.mT @ matrix
    return matrix if right is None else matrix @ right


def _back(basis: Tensor | None) -> Tensor | None:
    return None if basis is None else basis.mT


def _wide(matrix: Tensor) -> Tensor:
    """Return ``matrix`` in float32 at least: decompositions need it."""
    return matrix.to(torch.promote_types(matrix.dtype, torch.float32))


def _eigenvectors(product: Tensor | None) -> Tensor | None:
    """Return the eigenvectors, that of the greatest eigenvalue first."""
    if product is None:
        return None
    vectors: Tensor = torch.linalg.eigh(_wide(product)).eigenvectors
    return vectors.flip(1).to(product.dtype)


def _refreshed(
    basis: Tensor | None, product: Tensor | None, square: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Return the basis after one power iteration, and rows of ``square`` to match."""
    if basis is None or product is None:
        return None, square
    grown = product @ basis
    order = (basis * grown).sum(0).argsort(descending=True)
    turned: Tensor = torch.linalg.qr(_wide(grown[:, order])).Q
    return turned.to(product.dtype), square[order]
