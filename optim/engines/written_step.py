"""A step as its author wrote it: its arguments for one tensor, and checked results."""

from typing import Any

import torch
from torch import Tensor

from ...config.short_text import with_article
from .memory.tensor_form import memory_of, owned
from .tracing.recording import ImpureStepError, another_state
from .tracing.state_fields import fields_of_state
from .tracing.step_call import CHANGED_IN_PLACE, StepCall, versions


def checked(
    step: StepCall, tensor: Tensor, grad: Tensor, state: Any
) -> tuple[Tensor, Any]:
    """Return the results of ``step``. ImpureStepError if it breaks its contract."""
    before = versions(tensor, grad, state)
    result, new_state = step(tensor, grad, state)
    verify(tensor, result, state, new_state)
    if versions(tensor, grad, state) != before:
        raise ImpureStepError(CHANGED_IN_PLACE)
    return result, new_state


def homes(fields: dict[str, Any]) -> list[Any]:
    """Return the memory that the tensors of a state may share with others."""
    return [memory_of(t) for t in fields.values() if isinstance(t, Tensor)]


def in_digits_of(grad: Tensor, param: Tensor, step: StepCall) -> StepCall:
    """Return ``step`` computed in the dtype of ``grad`` if that is the widest.

    Rounded to the parameter's, the gradient would lose precision before a master gets
    it, and a finite value beyond that range would be infinite.
    """
    if grad.dtype == param.dtype:
        return step
    dtype = step.compute or _stepped_dtype(param)
    wide = torch.promote_types(dtype, grad.dtype.to_real())
    return step if wide is dtype else step.computed_in(wide)


def matching_grad(grad: Tensor, param: Tensor, step: StepCall) -> Tensor:
    """Return a gradient that fits a parameter's `stepped_tensor`: dense and real.

    It has the parameter's dtype, or the one in which ``step`` is computed. Raises
    ValueError for one of another shape, which a step would broadcast, and for a complex
    gradient of a real parameter or the reverse.
    """
    if grad.shape != param.shape or grad.is_complex() != param.is_complex():
        raise ValueError(
            f"the gradient is {grad.dtype} of shape {tuple(grad.shape)}, but the "
            f"parameter is {param.dtype} of shape {tuple(param.shape)}; pass a "
            "gradient of the parameter's shape, and complex only if the "
            "parameter is"
        )
    grad = grad.detach()
    if grad.is_sparse or grad.layout is not torch.strided:
        grad = grad.to_dense()
    grad = grad.resolve_neg()
    if grad.is_complex():
        grad = torch.view_as_real(grad.resolve_conj())
    dtype = _stepped_dtype(param)
    if grad.dtype != dtype or grad.device != param.device:
        grad = grad.to(param.device, step.compute or dtype)
    return grad


def _stepped_dtype(param: Tensor) -> torch.dtype:
    return param.dtype.to_real() if param.is_complex() else param.dtype


def verify(tensor: Tensor, result: Any, state: Any, new_state: Any) -> None:
    """Raise ImpureStepError unless results have the arguments' shapes and dtypes."""
    _require_same_form("tensor", tensor, result)
    if new_state is not None and not hasattr(new_state, "__dataclass_fields__"):
        raise ImpureStepError(
            f"step() returns {with_article(type(new_state).__name__)} as state, "
            "expected a Record (class MyState(burnish.Record): ...) or None"
        )
    if state is not None and type(new_state) is not type(state):
        raise another_state(new_state, type(state))
    for name, value in vars(state).items() if state is not None else ():
        if isinstance(value, Tensor):
            _require_same_form(f"state.{name}", value, vars(new_state).get(name))


def _require_same_form(name: str, before: Tensor, result: Any) -> None:
    if not isinstance(result, Tensor):
        raise ImpureStepError(f"step() returns {result!r:.40} for {name}, not a tensor")
    if result.shape != before.shape or result.dtype != before.dtype:
        raise ImpureStepError(
            f"step() returns {name} as {result.dtype} of shape "
            f"{tuple(result.shape)}, but was called with {before.dtype} of shape "
            f"{tuple(before.shape)}; return the same dtype and shape"
        )


def keep(fields: dict[str, Any], state: Any, tensor: Tensor) -> None:
    """Write a returned state into the stored one, in storage of its own."""
    if state is None:
        return
    values = fields_of_state(state)
    ours = set(homes(fields))
    for name, value in values.items():
        home = fields.get(name)
        if not isinstance(value, Tensor) or home is None:
            # Before anything is written, since lists and records may hold the old
            # tensors.
            values[name] = owned(value)
        elif value is not home and memory_of(value) in ours:
            values[name] = value.clone()
    for name, value in values.items():
        home = fields.get(name)
        if value is None:
            fields.pop(name, None)
        elif not isinstance(value, Tensor) or home is None:
            fields[name] = value
        elif value is not home:
            home.copy_(value)
