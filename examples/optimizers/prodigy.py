"""Prodigy (Mishchenko and Defazio, 2023, arXiv:2306.06101): Adam without a tuned rate.

`Prodigy().bind(net, lr=1.0)` steps a module; this file is all that it takes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

import burnish
from burnish.optim import SimpleOptimizer
from burnish.optim.simple import check_betas, check_range


class ProdigyState(burnish.Record):
    """Adam's moments, the start, and what estimates the distance from it."""

    mean: Tensor
    square: Tensor
    start: Tensor
    """The tensor before the first step."""
    pull: Tensor
    """The weighted sum of the gradients."""
    gain: Tensor
    """The weighted sum of <gradient, start - tensor>; of no dimension."""
    d: Tensor
    """The distance to the solution, as far as it is known; of no dimension."""


@dataclass(frozen=True, kw_only=True)
class Prodigy(SimpleOptimizer[ProdigyState]):
    """Step as Adam, by the distance to the solution as estimated so far.

    The paper has one estimate d for all parameters together. A simple optimizer sees
    one tensor, so here every tensor has its own: the same numbers for a model of one
    tensor, layer-wise rates for others. Leave ``lr`` at 1.0, or give it a schedule;
    bind a model in half precision with ``state_dtype=torch.float32``.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    """Shares of the moments that are kept, each in [0, 1)."""
    eps: float = 1e-8
    """Added to the denominator times d; at least 0."""
    weight_decay: float = 0.0
    """Weights shrink by this times d times the learning rate; at least 0."""
    d0: float = 1e-6
    """The first estimate, above 0."""
    d_coef: float = 1.0
    """Factor of the estimates that follow, above 0."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        check_range("eps", self.eps, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)
        if not (self.d0 > 0.0 and self.d_coef > 0.0):
            raise ValueError(
                f"d0 and d_coef must be above 0, got {self.d0} and {self.d_coef}"
            )

    def init(self, tensor: Tensor) -> ProdigyState:
        zeros, none = torch.zeros_like(tensor), tensor.new_zeros(())
        return ProdigyState(zeros, zeros, tensor, zeros, none, none + self.d0)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: ProdigyState
    ) -> tuple[Tensor, ProdigyState]:
        (b1, b2), d = self.betas, state.d
        mean = state.mean * b1 + grad * (d * (1 - b1))
        square = state.square * b2 + (grad * d).square() * (1 - b2)
        # The factor of both sums cancels; over d0, it is not lost to rounding.
        weight, kept = (d / self.d0) * (d * lr), b2**0.5
        gain = state.gain * kept + (grad * (state.start - tensor)).sum() * weight
        pull = state.pull * kept + grad * weight
        length = pull.abs().sum()
        estimate = torch.where(length > 0, self.d_coef * gain / length, d)
        farthest = torch.maximum(d, estimate)
        decayed = tensor * (1 - d * lr * self.weight_decay)
        moved = decayed - mean / (square.sqrt() + farthest * self.eps) * (d * lr)
        return moved, ProdigyState(mean, square, state.start, pull, gain, farthest)
