"""One call of a step: the optimizer, the learning rate, and the work around it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch

from ....config.short_text import quantity, with_article
from ....records.tensors.torch_internals import tensor_version
from .extended_state import closed, opened
from .recording import ImpureStepError
from .stand_in import StandIn


class StepFunctions(Protocol):
    """An optimizer as engines see it: functions of one tensor."""

    batched: ClassVar[bool]

    def init(self, tensor: torch.Tensor, /) -> Any:
        """Return the state before the first step."""

    def step(self, lr: float, tensor: Any, grad: Any, state: Any, /) -> Any:
        """Return the new tensor and state."""


@dataclass(slots=True)
class StepCall:
    """Called with a tensor, its gradient and state; returns the new tensor and state.

    It works for tensors and the stand-ins of a recording alike.
    """

    simple: StepFunctions
    lr: float
    maximize: bool = False
    scale: float | None = None
    """Factor of gradients (clipping by their norm)."""
    limit: float | None = None
    """Limit that elements of gradients are clamped to, on both sides."""
    compute: torch.dtype | None = None
    """The dtype to compute in; None for the parameter's. State keeps its own."""
    is_plain: bool = field(init=False)
    """Whether gradient and tensor reach the optimizer unchanged."""

    def __post_init__(self) -> None:
        self.is_plain = (
            self.scale is None and self.limit is None and self.compute is None
        )

    def computed_in(self, dtype: torch.dtype) -> "StepCall":
        """Return the same call, computed in ``dtype``."""
        # dataclasses.replace() is slower, and this runs at every step.
        return StepCall(
            self.simple, self.lr, self.maximize, self.scale, self.limit, dtype
        )

    def __call__(self, tensor: Any, grad: Any, state: Any) -> tuple[Any, Any]:
        """Return the new tensor and the new state."""
        if not self.maximize and self.is_plain:
            return _pair(self.simple.step(self.lr, tensor, grad, state))
        if self.compute is None:
            return self.stepped(tensor, grad, state)
        wide = self.widened(tensor, grad, state)
        return self.narrowed(*self.stepped(*wide), tensor, state)

    def widened(self, tensor: Any, grad: Any, state: Any) -> tuple[Any, Any, Any]:
        """Return the arguments as the step sees them: in `compute`, of the master."""
        compute = self.compute
        tensor, state = opened(tensor, state)
        tensor, grad = tensor.to(compute), grad.to(compute)
        return tensor, grad, cast_state(state, lambda name: compute)

    def narrowed(
        self, tensor: Any, state: Any, weight: Any, stored_state: Any
    ) -> tuple[Any, Any]:
        """Return the results of a step in the dtypes in which they are stored."""
        fields = {} if stored_state is None else vars(stored_state)
        state = cast_state(state, lambda name: getattr(fields.get(name), "dtype", None))
        return closed(tensor, state, weight, stored_state)

    def stepped(self, tensor: Any, grad: Any, state: Any) -> tuple[Any, Any]:
        """Return the results of the step for arguments in the dtype to compute in."""
        if self.scale is not None:
            grad = grad * self.scale
        if self.limit is not None:
            grad = grad.clamp(-self.limit, self.limit)
        if self.maximize:
            grad = -grad
        # The step owns converted arguments, but one that changes them would give other
        # numbers, or an error, once the parameter needs no conversion.
        before = versions(tensor, grad, state)
        arguments = tensor, grad, state
        results = _pair(self.simple.step(self.lr, tensor, grad, state))
        if versions(*arguments) != before:
            raise ImpureStepError(CHANGED_IN_PLACE)
        return results


CHANGED_IN_PLACE = (
    "step() changes one of its arguments in place; arguments must not be "
    "changed. Return new tensors: a * b, a.lerp(...), torch.add(...)"
)


def versions(tensor: Any, grad: Any, state: Any) -> list[int]:
    """Return version numbers that change when an argument of a step is written to."""
    if type(tensor) is StandIn:  # this runs at every step
        fields = {} if state is None else state.__dict__
        return [tensor.id, grad.id] + [
            v.id for v in fields.values() if type(v) is StandIn
        ]
    arguments = [tensor, grad]
    if state is not None:
        arguments += [v for v in vars(state).values() if isinstance(v, torch.Tensor)]
    return [tensor_version(a) for a in arguments if not a.is_inference()]


def _pair(result: Any) -> tuple[Any, Any]:
    """Return the result of a step, if it is two values. Raises ImpureStepError."""
    if type(result) is tuple and len(result) == 2:
        return result
    raise ImpureStepError(
        f"step() returns {_described(result)}, expected the new tensor and the new "
        "state: return tensor, state (None for an optimizer without state)"
    )


def _described(result: Any) -> str:
    if isinstance(result, tuple):
        return quantity(len(result), "value")
    if isinstance(result, torch.Tensor):
        return "a tensor alone"
    return "None" if result is None else with_article(type(result).__name__)


def cast_state(state: Any, dtype_of: Callable[[str], torch.dtype | None]) -> Any:
    """Return the state with its floating tensors in other dtypes; None keeps one."""
    if state is None:
        return None
    converted = object.__new__(type(state))
    fields = converted.__dict__
    for name, value in state.__dict__.items():
        dtype = dtype_of(name)
        if dtype is not None and isinstance(value, torch.Tensor):
            is_other = value.dtype is not dtype and value.is_floating_point()
            value = value.to(dtype) if is_other else value
        fields[name] = value
    return converted
