"""torch's own fused kernels, for the optimizers that name one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...records.tensors.torch_internals import (
    fused_adagrad,
    fused_adam,
    fused_adamw,
    fused_sgd,
)
from .bucket import Bucket, Job, Unfit
from .tracing.step_call import StepCall
from .tracing.trace import BucketLayout

Kernel = Callable[[StepCall, Bucket, list[Tensor]], None]
"""Updates the bucket's tensors and states; the caller updates the numbers."""


class TorchFused:
    """Runs a bucket through one call of a kernel."""

    name = "torch_fused"
    keeps_addresses = False
    computes_ahead = False

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> Job:
        """Return what writes the step; see `Engine`."""
        if kernel_of(step, bucket.layout) is not self.kernel:
            raise Unfit(
                "the hyperparameters changed to values that the kernel does not support"
            )
        bucket.locate()

        def job() -> None:
            self.kernel(step, bucket, grads)
            numbers = dict(bucket.scalars)
            if "step" in numbers:
                numbers["step"] += 1
            if "started" in numbers:
                numbers["started"] = True
            bucket.commit(numbers)

        return job


def kernel_of(
    step: StepCall, layout: BucketLayout, fused: bool | None = None
) -> Kernel | None:
    """Return the kernel that does exactly what ``step`` does, if torch has it.

    On a CPU it is used only if ``fused``, of `bind`, leaves the choice open.
    """
    simple: Any = step.simple
    # A subclass does not inherit the kernel, since it may override `step`.
    name = vars(type(simple)).get("_fused_kernel")
    kernel = _KERNELS.get(name)
    device = layout.like.device.type
    if kernel is None or not step.is_plain or device not in _DEVICES:
        return None
    if device == "cpu" and fused is not None:
        return None
    # A kernel takes tensor, gradient and state of one dtype, and has no cautious weight
    # decay.
    if len(set(layout.dtypes)) != 1 or getattr(simple, "cautious", False):
        return None
    # Some supported versions of torch have no kernel of Adagrad on other devices.
    if name == "adagrad" and device != "cpu":
        return None
    # torch refuses Nesterov momentum with dampening, so its kernel need not do what the
    # step as written does.
    if name == "sgd" and simple.nesterov and simple.dampening:
        return None
    # When a schedule has turned momentum on or off, there is no state for the kernel.
    if name == "sgd" and (simple.momentum != 0.0) != bool(layout.tensors):
        return None
    return kernel


def has_kernel(step: StepCall) -> bool:
    """Return whether torch has a kernel for the optimizer, for some of its steps."""
    return vars(type(step.simple)).get("_fused_kernel") in _KERNELS


_DEVICES = frozenset({"cpu", "cuda", "mps", "xpu"})


def _steps(bucket: Bucket) -> list[Tensor]:
    # The kernels read the number of the current step, as a tensor for each parameter.
    # They never write it, so one tensor serves for all.
    step = torch.tensor(
        float(bucket.scalars["step"] + 1), device=bucket.layout.like.device
    )
    return [step] * len(bucket.params)


def _adam(step: StepCall, bucket: Bucket, grads: list[Tensor]) -> None:
    simple: Any = step.simple
    means, squares, *greatest = bucket.columns
    kernel = fused_adamw if simple._fused_kernel == "adamw" else fused_adam
    kernel(
        bucket.params,
        grads,
        means,
        squares,
        greatest[0] if simple.amsgrad else [],
        _steps(bucket),
        amsgrad=simple.amsgrad,
        lr=step.lr,
        beta1=simple.betas[0],
        beta2=simple.betas[1],
        weight_decay=simple.weight_decay,
        eps=simple.eps,
        maximize=step.maximize,
    )


def _sgd(step: StepCall, bucket: Bucket, grads: list[Tensor]) -> None:
    simple: Any = step.simple
    fused_sgd(
        bucket.params,
        grads,
        bucket.columns[0] if bucket.columns else [],
        weight_decay=simple.weight_decay,
        momentum=simple.momentum,
        lr=step.lr,
        dampening=simple.dampening,
        nesterov=simple.nesterov,
        maximize=step.maximize,
        is_first_step=not bucket.scalars.get("started", True),
    )


def _adagrad(step: StepCall, bucket: Bucket, grads: list[Tensor]) -> None:
    simple: Any = step.simple
    fused_adagrad(
        bucket.params,
        grads,
        bucket.columns[0],
        _steps(bucket),
        lr=step.lr,
        lr_decay=simple.lr_decay,
        weight_decay=simple.weight_decay,
        eps=simple.eps,
        maximize=step.maximize,
    )


_KERNELS: dict[str | None, Kernel] = {
    "adam": _adam,
    "adamw": _adam,
    "sgd": _sgd,
    "adagrad": _adagrad,
}
"""Kernels by the name in an optimizer's `_fused_kernel`."""
