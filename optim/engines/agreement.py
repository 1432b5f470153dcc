"""Agreement: whether a borrowed kernel computes what the step as written does.

Tested once for each kernel, dtype, device and branch, on generated numbers.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from .bucket import Bucket, Engine
from .tracing.state_fields import field_names, fields_of_state
from .tracing.step_call import StepCall
from .tracing.trace import BucketLayout

_SIZES = [1, 7, 16, 33, 130, 1031]
"""Sizes: whole vectors of every width, their tails, and less than one vector."""

_EXACT = {torch.float32: 4e-6, torch.float64: 1e-14}
"""The relative difference from the loop that is allowed."""

_MOVED = 0.75
"""Movements of elements above this many units must occur in half precisions, too.

Half a unit is rounded to no movement, and a kernel may have a small error before it
rounds.
"""

_answers: dict[tuple[Any, ...], bool] = {}


def kernel_agrees(engine: Engine, step: StepCall, layout: BucketLayout) -> bool:
    """Return whether ``engine`` may step parameters of this ``layout``.

    In float32 and float64 it has to give the loop's numbers. In half precisions, where
    a kernel that rounds once is better than the loop, the error of each parameter
    against float64 may be the loop's plus one unit in the last place, and the kernel
    must move what float64 moves. What only the loop's rounding moves may stay.
    """
    like = torch.empty(0, dtype=layout.dtypes[0], device=layout.like.device)
    if type(layout.like.detach()) is not torch.Tensor or type(like) is not torch.Tensor:
        return True  # fake tensors have no numbers to compare
    typical = _typical(step)
    key = (typical, step.maximize, like.dtype, like.device.type)
    if key not in _answers:
        trial = StepCall(typical, 0.1, step.maximize)
        _answers[key] = _agrees(engine, trial, like)
    return _answers[key]


def _typical(step: StepCall) -> Any:
    """Return the optimizer with ordinary numbers that take the same branches."""
    simple: Any = step.simple
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(simple):
        value = getattr(simple, field.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            changes[field.name] = value if isinstance(value, bool) else field.default
        else:
            changes[field.name] = (field.default or 0.25) if value else 0.0
    return dataclasses.replace(simple, **changes)


def _agrees(engine: Engine, step: StepCall, like: Tensor) -> bool:
    """Compare two steps: the first, and one from the state that it left."""
    numbers = torch.Generator().manual_seed(0)
    tensor = _random(numbers, like)
    fields = _initial_fields(step, tensor)
    for _ in range(2):
        grad = _random(numbers, like)
        loop = _stepped(step, tensor, grad, fields, like.dtype)
        exact = _stepped(step, tensor, grad, fields, torch.float64)
        before = [tensor.clone(), *(t.clone() for t in _tensors(fields).values())]
        _run(engine, step, tensor, grad, fields)
        after = [tensor, *_tensors(fields).values()]
        if not all(map(_is_near, before, loop, exact, after)):
            return False
        # State values may cancel, where the loop's error is a matter of luck.
        if not _is_near_each(before[0], loop[0], exact[0], tensor):
            return False
    return True


def _random(numbers: torch.Generator, like: Tensor) -> Tensor:
    """Return values of either sign that no dtype rounds to 0."""
    count = sum(_SIZES)
    # The CPU draws them in float64, so that every device and dtype is tested with the
    # same numbers.
    values = torch.randn(count, generator=numbers, dtype=torch.float64, device="cpu")
    return (values + 0.25 * values.sign()).to(like)


def _initial_fields(step: StepCall, tensor: Tensor) -> dict[str, Any]:
    state = step.simple.init(tensor)
    fields = fields_of_state(state)
    return {
        name: value.clone() if isinstance(value, Tensor) else value
        for name, value in fields.items()
        if value is not None
    }


def _tensors(fields: dict[str, Any]) -> dict[str, Tensor]:
    return {k: v for k, v in fields.items() if isinstance(v, Tensor)}


def _layout(step: StepCall, tensor: Tensor, fields: dict[str, Any]) -> BucketLayout:
    state_type = type(step.simple.init(tensor)) if fields else None
    names = tuple(_tensors(fields))
    absent = {name: None for name in field_names(state_type) if name not in fields}
    return BucketLayout(
        tensor, state_type, names, (tensor.dtype,) * (2 + len(names)), absent
    )


def _scalars(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if not isinstance(v, Tensor)}


def _stepped(
    step: StepCall,
    tensor: Tensor,
    grad: Tensor,
    fields: dict[str, Any],
    dtype: torch.dtype,
) -> list[Tensor]:
    """Return the result of the step as written for copies in ``dtype``."""
    layout = _layout(step, tensor, fields)
    states = [value.to(dtype) for value in _tensors(fields).values()]
    state = layout.state(states, _scalars(fields))
    after, state = step(tensor.to(dtype), grad.to(dtype), state)
    return [after, *(getattr(state, name) for name in layout.tensors)]


def _run(
    engine: Engine, step: StepCall, tensor: Tensor, grad: Tensor, fields: dict[str, Any]
) -> None:
    """Step parts of all sizes in one bucket; they are views, as an arena's are."""
    parts, grads = torch.split(tensor, _SIZES), list(torch.split(grad, _SIZES))
    columns = [list(torch.split(value, _SIZES)) for value in _tensors(fields).values()]
    scalars = _scalars(fields)
    # The whole tensors are written through their views; numbers are returned with the
    # bucket.
    states = [dict(fields) for _ in parts]
    layout = _layout(step, tensor, fields)
    places = [*range(len(parts))]
    bucket = Bucket(
        layout, list(parts), places, states, columns, scalars, engine, why=""
    )
    # The engine uses the addresses that fits() records.
    bucket.fits(grads)
    engine.prepare(bucket, grads, step)()
    fields.update(bucket.scalars)


def _is_near(before: Tensor, loop: Tensor, exact: Tensor, after: Tensor) -> bool:
    if after.dtype in _EXACT:
        tolerance = _EXACT[after.dtype]
        return torch.allclose(after, loop, rtol=tolerance, atol=tolerance)
    usual = _errors(before, exact, loop)
    # Where the loop overflows, its error is infinite and would allow anything.
    allowed = usual[loop.isfinite()].amax() + 1.0
    # A kernel that does not move an element is never far off in one step, and yet the
    # element would never be trained.
    moves = (_errors(before, exact, before) > _MOVED) & (loop != before)
    is_close = bool((_errors(before, exact, after) <= allowed).all())
    return is_close and not bool((moves & (after == before)).any())


def _is_near_each(before: Tensor, loop: Tensor, exact: Tensor, after: Tensor) -> bool:
    """Return whether, in half precisions, each element is as accurate as the loop's."""
    if after.dtype in _EXACT:
        return True
    allowed = _errors(before, exact, loop) + 1.0
    return bool((_errors(before, exact, after) <= allowed).all())


def _errors(before: Tensor, exact: Tensor, values: Tensor) -> Tensor:
    """Return distances from ``exact``, in units in the last place of the larger."""
    limits = torch.finfo(values.dtype)
    size = torch.maximum(before.double().abs(), exact.abs())
    # Below the smallest normal number the unit is constant; the logarithm of 0 would
    # not give a unit at all.
    unit = limits.eps * size.clamp_min(limits.tiny).log2().floor().exp2()
    return (values.double() - exact).abs() / unit
