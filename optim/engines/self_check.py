"""A test of a generated program against the step as written, at its first use."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...records.tensors.torch_internals import without_dispatch_modes
from .tracing.step_call import StepCall
from .tracing.trace import BucketLayout, Trace

_COUNT = 257
_TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.bfloat16: 5e-2,
    torch.float16: 1e-2,
}


def agrees(
    run: Callable[[list[Tensor], list[float]], None],
    trace: Trace,
    layout: BucketLayout,
    step: StepCall,
    scalars: dict[str, Any],
) -> bool:
    """Return whether ``run`` gives the results of ``step`` on generated tensors.

    A step that reads shapes may take another path on these; it counts as agreeing.
    """
    if trace.reads_shape:
        return True
    # A mode that fakes tensors would leave nothing to compare.
    with torch.no_grad(), without_dispatch_modes():
        ours = _made_up_tensors(layout)
        theirs = [t.clone() for t in ours]
        try:
            state = layout.state(theirs[2:], scalars)
            tensor, new_state = step(theirs[0], theirs[1], state)
        except Exception as error:
            raise_of_signal(error)
            return False  # its error is raised when it runs as it is written
        expected = [tensor, *(vars(new_state)[name] for name in layout.tensors)]
        run(ours, trace.constants)
        # Values that passed through a narrow dtype are no more precise than that.
        tolerance = max(_TOLERANCE.get(dtype, 0.0) for dtype in trace.tape.dtypes)
        pairs = zip([ours[0], *ours[2:]], expected, strict=True)
        return all(_close(a, b, tolerance) for a, b in pairs)


def _made_up_tensors(layout: BucketLayout) -> list[Tensor]:
    """Return a parameter, a gradient and the tensors of a state, the same each time."""
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(_COUNT, generator=generator, dtype=torch.float64, device="cpu")
        for _ in layout.dtypes
    ]
    return [
        _values(t, dtype, is_state=i > 1)
        for i, (t, dtype) in enumerate(zip(tensors, layout.dtypes, strict=True))
    ]


def _values(values: Tensor, dtype: torch.dtype, *, is_state: bool) -> Tensor:
    if dtype is torch.bool:
        return values > 0
    # Second moments are never negative.
    return (values.abs() if is_state else values).to(dtype)


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return torch.allclose(
        a.double(), b.double(), rtol=tolerance, atol=tolerance, equal_nan=True
    )
