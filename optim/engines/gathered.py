"""Gathered: parameters spread over processes, gathered one after the other.

For steps that use more than one element, and do not know of processes: each process
computes the step of the whole, and keeps its share.
"""

from functools import partial
from typing import Any

from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...records.tensors.shares import own_share, share_of
from .bucket import Bucket, Job
from .memory.tensor_form import stepped_tensor
from .portions import StepFailed, Write, job_of_each
from .tracing.state_fields import state_of
from .tracing.step_call import StepCall
from .written_step import checked, in_digits_of, keep, matching_grad


class Gathered:
    """Runs the step on each whole parameter, of which all processes have a share."""

    name = "gathered"
    keeps_addresses = False
    computes_ahead = True

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> Job:
        """Return what writes the step; see `Engine`. Raises StepFailed."""
        return job_of_each(bucket, grads, partial(_computed, step), _nbytes)


def _computed(step: StepCall, bucket: Bucket, i: int, grad: Tensor) -> Write:
    """Return a job that writes this process's share of the step of one parameter."""
    param, fields = bucket.params[i], bucket.states[i]
    target = stepped_tensor(param)
    tensor = _full_tensor(target)
    whole_fields = {name: _full_tensor(value) for name, value in fields.items()}
    state = state_of(bucket.layout.state_type, whole_fields)
    try:
        step = in_digits_of(grad, tensor, step)
        whole_grad = matching_grad(_full_tensor(grad), tensor, step)
        result, new_state = checked(step, tensor, whole_grad, state)
    except Exception as error:
        raise_of_signal(error)
        raise StepFailed(param) from error
    share = _share(result, target)
    if new_state is not None:
        for name, value in vars(new_state).items():
            vars(new_state)[name] = _share(value, fields.get(name))

    def write() -> None:
        keep(fields, new_state, target)
        own_share(target).copy_(own_share(share))

    return write


def _full_tensor(value: Any) -> Any:
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def _share(value: Any, like: Any) -> Any:
    """Return this process's part of a whole value, like ``like``, in its own memory."""
    if not (isinstance(value, Tensor) and hasattr(like, "device_mesh")):
        return value
    share = share_of(value, like)
    # A view would keep the whole alive until the last parameter is written.
    return share.clone()


def _nbytes(tensor: Tensor) -> int:
    """Return the size of the share of a result, in bytes."""
    return own_share(tensor).nbytes
