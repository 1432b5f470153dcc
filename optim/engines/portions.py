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
"""How many bytes of results are kept before the first is written."""

Write = Callable[[], None]


@dataclass(slots=True)
class Portion:
    """What is computed at once: some parameters, and how."""

    params: Sequence[Tensor]
    compute: Callable[[], Write]
    """Return what writes the results; change nothing yet."""


class StepFailed(Exception):
    """The author's step raised, or broke its contract; the cause says what.

    It never reaches the user: the cause is raised, with the paths in a note.
    """

    def __init__(self, param: Tensor) -> None:
        super().__init__(param)
        self.param = param
        self.moved: list[Tensor] = []
        """What was written before."""


@dataclass(slots=True)
class InTurn:
    """A job that may raise when some parameters are written already."""

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
    """Return what writes the steps of all parameters, each a portion of its own.

    ``compute`` is given the position of a parameter and its gradient; ``nbytes_of``
    says how large the result for a tensor is.
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
    """Return what writes the portions; their results are computed now if they fit.

    ``tensors`` are all that is read and written: where any share memory, one is
    stepped after the other, as each may read what the other wrote.
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
