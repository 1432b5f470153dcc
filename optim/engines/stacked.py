"""Stacks: small equal matrices as one tensor, for steps that take stacks."""

from functools import partial

import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...records.tensors.torch_internals import copy_tensors
from .bucket import Bucket, Job
from .portions import Portion, StepFailed, Write, job_of
from .tracing.extended_state import ROUNDING_KEY
from .tracing.step_call import StepCall
from .written_step import checked, matching_grad

SIDE = 128
"""Matrices with more rows or columns fill the processor alone."""

_STACK = 1024 * 1024


class Stacked:
    """Runs the step on stacks of the bucket's matrices; all have one shape."""

    name = "stacked"
    keeps_addresses = False
    computes_ahead = True

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> Job:
        """Return what writes the step; see `Engine`."""
        # A stack copies its matrices: a single one would take their memory a second
        # time.
        count = max(1, _STACK // max(1, bucket.sizes[0]))
        portions: list[Portion] = []
        for start in range(0, len(grads), count):
            part = slice(start, start + count)
            compute = partial(_computed, bucket, grads, step, part)
            portions.append(Portion(bucket.params[part], compute))
        width = bucket.params[0].element_size() * (1 + len(bucket.columns))
        nbytes = sum(bucket.sizes) * width
        return job_of(portions, [*bucket.params, *grads], nbytes)


def _computed(
    bucket: Bucket, grads: list[Tensor], step: StepCall, part: slice
) -> Write:
    """Return a job that writes the step of a part of the bucket."""
    params = bucket.params[part]
    # Stacks are copies: their results share no memory with the bucket, so the writes
    # below may have any order.
    tensor = torch.stack([p.detach() for p in params])
    columns = [column[part] for column in bucket.columns]
    state = bucket.layout.state([torch.stack(c) for c in columns], bucket.scalars)
    if bucket.layout.rounds:
        vars(state)[ROUNDING_KEY] = [s[ROUNDING_KEY] for s in bucket.states[part]]
    try:
        pairs = zip(grads[part], params, strict=True)
        grad = torch.stack([matching_grad(g, p, step) for g, p in pairs])
        results, new_state = checked(step, tensor, grad, state)
    except Exception as error:
        raise_of_signal(error)
        # A stack does not show which of its matrices failed: the first is named.
        raise StepFailed(params[0]) from error

    masters = bucket.masters()

    def write() -> None:
        if masters is not None and bucket.renewals is not None:
            bucket.renewals.compare(tensor, torch.stack(masters[part]))
        for name, column in zip(bucket.layout.tensors, columns, strict=True):
            copy_tensors(column, list(getattr(new_state, name).unbind()))
        copy_tensors([p.detach() for p in params], list(results.unbind()))
        for fields in bucket.states[part]:
            fields.update({name: getattr(new_state, name) for name in bucket.scalars})

    return write
