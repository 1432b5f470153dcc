"""The choice of an engine for a step, and its reason."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .agreement import kernel_agrees
from .blocks import Blocks, replayable
from .bucket import Engine, Unfit
from .compiled import Compiled, compiled, why_not_compiled
from .foreach import Foreach, listable
from .torch_fused import Kernel, TorchFused, has_kernel, kernel_of
from .tracing.drawing import drawing_in
from .tracing.generators import GeneratorWatch
from .tracing.recording import NotElementwise
from .tracing.step_call import StepCall
from .tracing.trace import BucketLayout, Trace, trace


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine, or None where the step runs as it is written."""

    make: Callable[[], Engine] | None
    """Creates the engine of one bucket."""
    why: str
    reads_shape: bool = False
    may_change: bool = False
    """Whether the next step might be recordable, although this one is not."""
    draws: bool = False
    """Whether it may draw random numbers."""


def choose(
    step: StepCall, layout: BucketLayout, numbers: dict[str, Any], fused: bool | None
) -> EngineChoice:
    """Return the engine for a step; it is determined by stored data and settings."""
    kernel = usable_kernel(step, layout, fused)
    if kernel is not None:
        return EngineChoice(partial(TorchFused, kernel), "torch has a kernel for it")
    choice = _recorded(step, layout, numbers, fused)
    reason = _why_no_kernel(step, layout, fused)
    return replace(choice, why=f"{choice.why}{reason}")


def usable_kernel(
    step: StepCall, layout: BucketLayout, fused: bool | None
) -> Kernel | None:
    """Return torch's kernel for a step, if it has one that agrees with it."""
    kernel = kernel_of(step, layout, fused)
    if kernel is None or not kernel_agrees(TorchFused(kernel), step, layout):
        return None
    return kernel


def _why_no_kernel(step: StepCall, layout: BucketLayout, fused: bool | None) -> str:
    """Return why torch's kernel is not used, if it has one for the optimizer."""
    if kernel_of(step, layout, fused) is not None:
        return f"; torch's kernel gives different numbers in {layout.dtypes[0]}"
    if not has_kernel(step) or fused is True:
        return ""
    if layout.rounds:
        return "; torch's kernel does not round stochastically"
    return "" if layout.master is None else "; torch's kernel keeps no master weights"


def _recorded(
    step: StepCall, layout: BucketLayout, numbers: dict[str, Any], fused: bool | None
) -> EngineChoice:
    """Return the engine for a step that is recorded; see `choose`."""
    watch = GeneratorWatch(layout.like.device)
    try:
        recorded = trace(step, layout, numbers)
    except NotElementwise as reason:
        draws = watch.has_drawn() or drawing_in(step.simple.step, step.simple)
        return EngineChoice(None, str(reason), may_change=not draws, draws=bool(draws))
    if watch.has_drawn():
        return EngineChoice(None, "it draws random numbers", draws=True)
    name = drawing_in(step.simple.step, step.simple)
    if name is not None:
        return EngineChoice(None, f"it may draw random numbers ({name})", draws=True)
    reads_shape = recorded.reads_shape or recorded.tape.has_tensors
    try:
        if layout.like.device.type != "cpu":
            listable(recorded, layout, step, numbers)
            why = "elementwise, on an accelerator"
            return EngineChoice(Foreach, why, reads_shape)
        if fused and compiled(recorded, layout, step, numbers) is not None:
            make = partial(Compiled, Blocks)
            return EngineChoice(make, "elementwise", reads_shape)
        replayable(recorded, layout, step, numbers)
    except Unfit as unfit:
        return EngineChoice(None, str(unfit), reads_shape)
    refusal = why_not_compiled(recorded) if fused else ""
    why = f"elementwise; not compiled: {refusal}" if refusal else "elementwise"
    return EngineChoice(Blocks, why, reads_shape)


def is_elementwise(
    step: StepCall, layout: BucketLayout, numbers: dict[str, Any]
) -> bool:
    """Return whether a step that could not be recorded before now can be."""
    try:
        recorded: Trace = trace(step, layout, numbers)
    except NotElementwise:
        return False
    return bool(recorded.outs)
