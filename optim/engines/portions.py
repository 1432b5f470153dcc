"""Portions: steps that may raise, computed before anything is written if they fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .bucket import Bucket, Job
from .memory.tensor_form import memory_of

ROOM = 64 * 1024 * 1024
"""Bytes of results that are kept before the first is written."""

Write = Callable[[], None]


@dataclass(slots=True)
class Portion:
    """A unit of computation: some parameters, and how they are stepped."""

    params: Sequence[Tensor]
    compute: Callable[[], Write]
    """Return a job that writes the results; change nothing yet."""


class StepFailed(Exception):
    """The author's step raised, or broke its contract; the cause says what.

    It never reaches the user: the cause is raised, with the paths in a note.
    """

    def __init__(self, param: Tensor) -> None:
        super().__init__(param)
        self.param = param
        self.moved: list[Tensor] = []
        """The parameters that were already written."""


@dataclass(slots=True)
class InTurn:
    """A job that may raise when some parameters are already written."""

    portions: list[Portion]
    moved: list[Tensor] = field(default_factory=list[Tensor])

    def __call__(self) -> None:
        """Step the portions one after the other. Raises StepFailed."""
        for portion in self.portions:
            portion.compute()()
            self.moved += portion.params


def job_of_each(
    bucket: Bucket,
    grads: list[Tensor],
    compute: Callable[[Bucket, int, Tensor], Write],
    nbytes_of: Callable[[Any], int],
) -> Job:
    """Return a job that writes the steps of all parameters, each a separate portion.

    ``compute`` gets the index of a parameter and its gradient; ``nbytes_of`` returns
    the size of the result for a tensor.
    """
    portions = [
        Portion([bucket.params[i]], partial(compute, bucket, i, grad))
        for i, grad in enumerate(grads)
    ]
    states = (t for state in bucket.states for t in state.values())
    tensors = [*bucket.params, *(t for t in states if isinstance(t, Tensor))]
    nbytes = sum(map(nbytes_of, tensors))
    return job_of(portions, [*bucket.params, *grads], nbytes)


def job_of(portions: list[Portion], tensors: Sequence[Any], nbytes: int) -> Job:
    """Return a job that writes the portions; results are computed now if they fit.

    ``tensors`` are all that is read and written: if any share memory, portions are
    stepped one after the other, as each may read what another wrote.
    """
    if nbytes > ROOM or _share_memory(tensors):
        return InTurn(portions)
    writes = [portion.compute() for portion in portions]

    def job() -> None:
        for write in writes:
            write()

    return job


def _share_memory(tensors: Sequence[Any]) -> bool:
    places = [memory_of(t) for t in tensors if t.layout is torch.strided and t.numel()]
    return len(set(places)) != len(places)
