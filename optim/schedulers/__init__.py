"""Learning rates over the steps of a run; each schedule is a record."""

from .children import Parent
from .composed import Composed
from .constant import Constant
from .cosine import Cosine
from .curve import Curve
from .exponential import Exponential
from .linear import Linear
from .noam import Noam
from .plateau import Plateau
from .scheduler import Scheduler
from .sequential import Sequential
from .step import Step
from .warmup import Warmup

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
