"""Errors of a step; the parameters are as they were before it.

TypeError
└── ImpureStepError           a step() breaks its contract
ArithmeticError
└── NonFiniteGradientError    a gradient is infinite or NaN
RuntimeError
└── MissingGradientError      only some processes have a gradient
"""

from ..config.short_text import first_names
from .engines.tracing.recording import ImpureStepError

__all__ = ["ImpureStepError", "MissingGradientError", "NonFiniteGradientError"]


class NonFiniteGradientError(ArithmeticError):
    """Gradients contain infinities or NaN, and ``nonfinite`` refuses them."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(paths)
        self.paths = paths

    def __str__(self) -> str:
        return (
            f"the gradients of {first_names(self.paths, 8)} are not finite; "
            "nothing was changed. Lower the learning rate or the loss scale, or "
            "pass nonfinite='skip' to skip such steps"
        )


class MissingGradientError(RuntimeError):
    """Some processes have no gradient for a parameter whose step needs all of them."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(paths)
        self.paths = paths

    def __str__(self) -> str:
        names = first_names(self.paths, 8) or "parameters of other processes"
        return (
            f"only some processes have gradients of {names}, and this optimizer's step "
            "needs all of them; nothing was changed. Set the missing ones to zeros, or "
            "remove them on all processes"
        )
