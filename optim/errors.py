"""What can be wrong in a step; the parameters are as they were before it.

ImpureStepError (TypeError)             a step() breaks its contract
NonFiniteGradientError (ArithmeticError)    a gradient is infinite or NaN
"""

from .engines.tracing.recording import ImpureStepError

__all__ = ["ImpureStepError", "NonFiniteGradientError"]


class NonFiniteGradientError(ArithmeticError):
    """Gradients hold infinities or NaN, and the optimizer was told to refuse them."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(paths)
        self.paths = paths

    def __str__(self) -> str:
        shown = ", ".join(self.paths[:8]) + (", ..." if len(self.paths) > 8 else "")
        return (
            f"the gradients of {shown} are not finite; nothing was changed. Lower the "
            "learning rate or the loss scale, or pass nonfinite='skip' to leave such "
            "steps out"
        )
