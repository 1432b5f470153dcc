"""Trace: what one step does to the tensors of a bucket, recorded for this call."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .recording import ImpureStepError, NotElementwise, Recording, StandIn
from .step import Step


@dataclass(slots=True)
class Layout:
    """What parameters have in common that are stepped together."""

    like: Tensor
    """One of the parameters, for its shape and device."""
    state_type: type | None
    tensors: tuple[str, ...]
    """The fields of the state that are tensors of the parameter's shape."""
    dtypes: tuple[torch.dtype, ...]
    """Of the tensor, the gradient, and the tensors of the state."""
    absent: dict[str, None] = field(default_factory=dict)
    """The fields of the state that are None."""
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.names = ("tensor", "grad", *(f"state.{name}" for name in self.tensors))

    def state(self, tensors: Any, scalars: dict[str, Any]) -> Any:
        """Return a state that holds ``tensors`` and ``scalars``, unchecked."""
        if self.state_type is None:
            return None
        state = self.state_type.__new__(self.state_type)
        vars(state).update(zip(self.tensors, tensors, strict=True))
        vars(state).update(scalars)
        vars(state).update(self.absent)
        return state


@dataclass(slots=True)
class Trace:
    """One recorded step: its operations, which results go where, the new numbers."""

    tape: Recording
    outs: tuple[int, ...]
    scalars: dict[str, Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """What two steps share when one program serves both."""
        return (tuple(self.tape.ops), self.outs)


def trace(step: Step, layout: Layout, scalars: dict[str, Any]) -> Trace:
    """Run ``step`` on stand-ins and return what it did.

    Raises NotElementwise where it has to run as it is written, and ImpureStepError
    where it breaks its contract.
    """
    tape = Recording(layout.names, layout.dtypes)
    like = layout.like
    ins = [StandIn(tape, i, dtype, like) for i, dtype in enumerate(layout.dtypes)]
    try:
        tensor, state = step(ins[0], ins[1], layout.state(ins[2:], scalars))
    except (NotElementwise, ImpureStepError):
        raise
    except Exception as error:
        # A stand-in is no tensor; what is really wrong shows on a real one.
        raise NotElementwise(f"recording it raised {error!r:.80}") from error
    if type(state) is not (layout.state_type or type(None)):
        raise NotElementwise("it returns a state of another type")
    outs = [tensor]
    changed = dict(scalars)
    if state is not None:
        values = vars(state)
        outs += [values[name] for name in layout.tensors]
        for name in scalars:
            changed[name] = values[name]
            if type(values[name]) not in _NUMBERS:
                raise NotElementwise(f"it makes state.{name} something else")
        if any(values[name] is not None for name in layout.absent):
            raise NotElementwise("it adds a tensor to the state")
    return Trace(tape, _results(layout, outs), changed)


_NUMBERS = frozenset({int, float, bool, str})


def _results(layout: Layout, outs: list[Any]) -> tuple[int, ...]:
    numbers: list[int] = []
    for slot, out in zip((0, *range(2, len(layout.dtypes))), outs, strict=True):
        if type(out) is not StandIn:
            raise NotElementwise(f"it returns no tensor for {layout.names[slot]}")
        if out.dtype is not layout.dtypes[slot]:
            raise ImpureStepError(
                f"step() returns {layout.names[slot]} as {out.dtype}, and it came as "
                f"{layout.dtypes[slot]}; convert it back: value.to(tensor.dtype)"
            )
        numbers.append(out.id)
    return tuple(numbers)
