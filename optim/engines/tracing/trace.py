"""Trace: what one step does to the tensors of a bucket, recorded for this call."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from . import operations  # noqa: F401  # pyright: ignore[reportUnusedImport]  # gives the stand-in its operations
from .extended_state import MASTER, kept_names, rounds
from .recording import ImpureStepError, NotElementwise, Op, Recording
from .stand_in import StandIn, stand_in
from .step_call import StepCall


@dataclass(slots=True)
class BucketLayout:
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
    master: int | None = field(init=False)
    """Which of ``tensors`` is the master weight."""
    rounds: bool = field(init=False)
    """Whether the tensor is rounded stochastically."""
    tape: Recording = field(init=False, repr=False)

    def __post_init__(self) -> None:
        is_kept = MASTER in kept_names(self.state_type) and MASTER in self.tensors
        self.master = self.tensors.index(MASTER) if is_kept else None
        self.rounds = rounds(self.state_type)
        names = ("tensor", "grad", *(f"state.{name}" for name in self.tensors))
        tape = self.tape = Recording(names, self.dtypes, self.like)
        tape.inputs = [stand_in(tape, i, dtype) for i, dtype in enumerate(self.dtypes)]

    def state(self, tensors: Any, scalars: dict[str, Any]) -> Any:
        """Return a state that holds ``tensors`` and ``scalars``, unchecked."""
        if self.state_type is None:
            return None
        # The constructor is passed over: every step comes here, and what checks values
        # has none to check in a stand-in.
        state: Any = object.__new__(self.state_type)
        fields = state.__dict__
        for name, tensor in zip(self.tensors, tensors, strict=True):
            fields[name] = tensor
        fields.update(scalars)
        if self.absent:
            fields.update(self.absent)
        return state


@dataclass(slots=True)
class Trace:
    """One recorded step: its operations, which results go where, the new numbers."""

    ops: list[Op]
    constants: list[float]
    outs: tuple[int, ...]
    scalars: dict[str, Any]
    reads_shape: bool
    tape: Recording
    """Where it was recorded; holds the operations until the next trace."""
    author: type
    """The class of the optimizer whose step it is."""

    def key(self) -> tuple[Any, ...]:
        """Return what two steps share when one program serves both.

        A program that was found to agree with one optimizer's step may be what a
        recording of another's missed something of.
        """
        ops, dtypes = tuple(self.ops), tuple(self.tape.dtypes)
        return (self.author, ops, self.outs, dtypes)


def trace(step: StepCall, layout: BucketLayout, scalars: dict[str, Any]) -> Trace:
    """Run ``step`` on stand-ins and return what it did.

    Raises NotElementwise where it has to run as it is written, and ImpureStepError
    where it breaks its contract.
    """
    tape = layout.tape
    tape.clear()
    ins = tape.inputs
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
    changed = scalars
    if state is not None:
        values = state.__dict__
        outs += [values[name] for name in layout.tensors]
        changed = {name: values[name] for name in scalars}
        if not all([type(value) in _NUMBERS for value in changed.values()]):  # noqa: C419  # a list is faster
            raise NotElementwise("it makes a number of the state something else")
        if any([values[name] is not None for name in layout.absent]):  # noqa: C419  # a list is faster
            raise NotElementwise("it adds a tensor to the state")
    outs_at = _results(layout, outs)
    reads, author = tape.reads_shape, type(step.simple)
    return Trace(tape.ops, tape.constants, outs_at, changed, reads, tape, author)


# A subclass is refused: numpy's float64 is a float as well, and would be stored in a
# state in the place of one.
_NUMBERS = frozenset({int, float, bool, str})


def _results(layout: BucketLayout, outs: list[Any]) -> tuple[int, ...]:
    tape = layout.tape
    # Slot 1 is the gradient, which no step returns.
    for slot, out in zip((0, *range(2, tape.n_inputs)), outs, strict=True):
        if type(out) is not StandIn:
            raise NotElementwise(f"it returns no tensor for {tape.names[slot]}")
        if out.dtype is not layout.dtypes[slot]:
            raise ImpureStepError(
                f"step() returns {tape.names[slot]} as {out.dtype}, and it came as "
                f"{layout.dtypes[slot]}; convert it back: value.to(tensor.dtype)"
            )
    # IDs are read at the end: an operation in place gives its stand-in another.
    return tuple([out.id for out in outs])
