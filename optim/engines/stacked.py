"""Stacks: small equal matrices as one tensor, for steps that take stacks."""

from typing import Any

import torch
from torch import Tensor

from .bucket import Bucket, Job
from .internals import internals
from .loop import settled, verify, versions
from .recording import ImpureStepError
from .step import Step

SIDE = 128
"""Matrices of more rows or columns fill the processor by themselves."""

_STACK = 1024 * 1024


class Batched:
    """Runs the step on stacks of the bucket's matrices; all have one shape."""

    name = "stacked"

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: Step) -> Job:
        """Return what writes the step; see `Engine`."""

        def job() -> None:
            count = max(1, _STACK // max(1, bucket.sizes[0]))
            numbers = bucket.scalars
            for start in range(0, len(grads), count):
                numbers = _some(bucket, grads, step, slice(start, start + count))
            bucket.commit(numbers)

        return job


def _some(
    bucket: Bucket, grads: list[Tensor], step: Step, part: slice
) -> dict[str, Any]:
    """Step a part of the bucket and return the new numbers of the states."""
    params = bucket.params[part]
    tensor = torch.stack([p.detach() for p in params])
    grad = torch.stack(
        [settled(g, p) for g, p in zip(grads[part], params, strict=True)]
    )
    columns = [column[part] for column in bucket.columns]
    state = bucket.layout.state([torch.stack(c) for c in columns], bucket.scalars)
    before = versions(tensor, grad, state)
    new, new_state = step(tensor, grad, state)
    verify(tensor, new, state, new_state)
    if versions(tensor, grad, state) != before:
        raise ImpureStepError("step() changes one of its arguments in place")
    for name, column in zip(bucket.layout.tensors, columns, strict=True):
        internals._foreach_copy_(column, list(getattr(new_state, name).unbind()))
    internals._foreach_copy_([p.detach() for p in params], list(new.unbind()))
    return {name: getattr(new_state, name) for name in bucket.scalars}
