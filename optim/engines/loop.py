"""The plain loop: the step as it is written, one parameter after the other."""

from functools import partial

from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...records.tensors.shares import spread_as
from .bucket import Bucket, Job
from .memory.tensor_form import memory_of, stepped_tensor
from .portions import StepFailed, Write, job_of_each
from .tracing.extended_state import MASTER, kept_names
from .tracing.state_fields import follow, state_of
from .tracing.step_call import StepCall
from .written_step import checked, homes, in_digits_of, keep, matching_grad


class Loop:
    """Runs the step on each parameter and copies what it returns."""

    name = "loop"
    keeps_addresses = False
    computes_ahead = True

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> Job:
        """Return what writes the step; see `Engine`. Raises StepFailed."""
        return job_of_each(bucket, grads, partial(_computed, step), _nbytes)


def _computed(step: StepCall, bucket: Bucket, i: int, grad: Tensor) -> Write:
    """Return a job that writes the step of one parameter."""
    param, fields = bucket.params[i], bucket.states[i]
    tensor = stepped_tensor(param)
    follow(fields, tensor.device)
    state = state_of(bucket.layout.state_type, fields)
    try:
        step = in_digits_of(grad, param, step)
        grad = matching_grad(grad, param, step)
        result, new_state = checked(step, tensor, grad, state)
    except Exception as error:
        raise_of_signal(error)
        raise StepFailed(param) from error
    # Messages are sent here: all processes compute in one order, and write in any.
    result = spread_as(tensor, result)
    for name, value in vars(new_state).items() if new_state is not None else ():
        vars(new_state)[name] = spread_as(fields.get(name), value)
    if any(memory_of(result) == m for m in homes(fields)):
        result = result.clone()  # or writing the state would change it
    has_master = MASTER in kept_names(bucket.layout.state_type)
    master = fields.get(MASTER) if has_master else None

    def write() -> None:
        if master is not None and bucket.renewals is not None:
            bucket.renewals.compare(tensor, master)
        keep(fields, new_state, tensor)
        if result is not tensor:
            tensor.copy_(result)

    return write


def _nbytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
