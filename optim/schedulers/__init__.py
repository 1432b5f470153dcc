"""Learning rates over the steps of a run; each schedule is a record."""

from .combinators import Composed, Parent, Sequential, Warmup
from .curves import Constant, Cosine, Curve, Exponential, Linear, Noam, Step
from .plateau import Plateau
from .scheduler import Scheduler

__all__ = [
    "Composed",
    "Constant",
    "Cosine",
    "Curve",
    "Exponential",
    "Linear",
    "Noam",
    "Parent",
    "Plateau",
    "Scheduler",
    "Sequential",
    "Step",
    "Warmup",
]
