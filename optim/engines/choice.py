"""Which engine takes a step, and why."""

from typing import Any

from .agreement import kernel_agrees
from .blocks import Replay, replayable
from .bucket import Engine, Unfit
from .compiled import Native, compiled
from .foreach import Listwise, listable
from .recording import NotElementwise
from .step import Step
from .torch_fused import Fused, kernel_of
from .trace import Layout, Trace, trace


def choose(
    step: Step, layout: Layout, numbers: dict[str, Any], fused: bool | None
) -> tuple[Engine | None, str, bool]:
    """Return an engine (None: none fits), why, and whether the step reads shapes."""
    is_cpu = layout.like.device.type == "cpu"
    kernel = kernel_of(step, layout) if fused is None or not is_cpu else None
    if kernel is not None and kernel_agrees(Fused(kernel), step, layout):
        return Fused(kernel), "torch has a kernel for it", False
    engine, why, reads_shape = _recorded(step, layout, numbers, fused)
    if kernel is not None:
        why += f"; torch's kernel gives other numbers in {layout.dtypes[0]}"
    return engine, why, reads_shape


def _recorded(
    step: Step, layout: Layout, numbers: dict[str, Any], fused: bool | None
) -> tuple[Engine | None, str, bool]:
    """Return the engine for a step that is recorded; see `choose`."""
    is_cpu = layout.like.device.type == "cpu"
    try:
        made = trace(step, layout, numbers)
    except NotElementwise as reason:
        return None, str(reason), False
    reads = made.reads_shape
    if not is_cpu:
        return _listed(made, layout, step, numbers, reads)
    if fused and compiled(made, layout, step, numbers) is not None:
        return Native(), "elementwise", reads
    return _replay(made, layout, step, numbers, reads)


def _listed(
    made: Trace, layout: Layout, step: Step, numbers: dict[str, Any], reads: bool
) -> tuple[Engine | None, str, bool]:
    try:
        listable(made, layout, step, numbers)
    except Unfit as unfit:
        return None, str(unfit), reads
    return Listwise(), "elementwise, on an accelerator", reads


def _replay(
    made: Trace, layout: Layout, step: Step, numbers: dict[str, Any], reads: bool
) -> tuple[Engine | None, str, bool]:
    try:
        replayable(made, layout, step, numbers)
    except Unfit as unfit:
        return None, str(unfit), reads
    return Replay(), "elementwise", reads
