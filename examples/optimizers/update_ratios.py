"""How far each step moves each parameter, beside its size: about 1e-3 is usual.

A step knows neither a path nor a log, so that tensors alike can run as one; what wants
them stands around it, in the hooks that every `torch.optim.Optimizer` has:

    ratios = UpdateRatios(net, optimizer)
    ...
    ratios.history[-1]["head.weight"]
"""

from typing import Any

import torch
from torch import nn

import burnish
from burnish.config.patterns import Patterns, matches
from burnish.records import Param


class UpdateRatios:
    """Keeps the norm of each update over the norm of its parameter, by path."""

    def __init__(
        self, net: nn.Module, optimizer: torch.optim.Optimizer, only: Patterns = "**"
    ) -> None:
        self.history: list[dict[str, float]] = []
        """One dict a step."""
        self._net, self._only = net, only
        self._before: list[tuple[Param, torch.Tensor]] = []
        self._handles: list[Any] = [
            optimizer.register_step_pre_hook(self._keep),
            optimizer.register_step_post_hook(self._compare),
        ]

    def remove(self) -> None:
        """Measure no more."""
        for handle in self._handles:
            handle.remove()

    def _keep(self, *_: Any) -> None:
        # Asked at each step, so that parameters that were replaced are followed.
        self._before = [
            (param, param.tensor.detach().clone())
            for param in burnish.named_params(self._net)
            if param.tensor.grad is not None and matches(self._only, param.path, param)
        ]

    def _compare(self, *_: Any) -> None:
        self.history.append(
            {
                param.path: float((param.tensor.detach() - before).norm())
                / max(float(before.norm()), 1e-12)
                for param, before in self._before
            }
        )
        self._before = []
