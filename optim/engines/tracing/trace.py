"""Trace: the effects of one step on the tensors of a bucket, recorded for this call."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ....config.process.interrupts import raise_of_signal
from . import operations  # noqa: F401  # pyright: ignore[reportUnusedImport]  # gives the stand-in its operations
from .extended_state import MASTER, close_fields, kept_names, rounds
from .recording import ImpureStepError, NotElementwise, Op, Recording
from .stand_in import StandIn, stand_in
from .step_call import StepCall


@dataclass(slots=True)
class BucketLayout:
    """The common properties of parameters that are stepped together."""

    like: Tensor
    """One of the parameters, for its shape and device."""
    state_type: type | None
    tensors: tuple[str, ...]
    """The fields of the state that are tensors of the parameter's shape."""
    dtypes: tuple[torch.dtype, ...]
    """The dtypes of the tensor, the gradient, and the tensors of the state."""
    absent: dict[str, None] = field(default_factory=dict)
    """The fields of the state that are None."""
    master: int | None = field(init=False)
    """The index of the master weight in ``tensors``."""
    rounds: bool = field(init=False)
    """Whether the tensor is rounded stochastically."""
    tape: Recording = field(init=False, repr=False)

    def __post_init__(self) -> None:
        is_kept = MASTER in kept_names(self.state_type) and MASTER in self.tensors
        self.master = self.tensors.index(MASTER) if is_kept else None
        self.rounds = rounds(self.state_type)
        names = ("tensor", "grad", *(f"state.{name}" for name in self.tensors))
        self.tape = Recording(names, self.dtypes, self.like)
        self.renew_inputs()

    def renew_inputs(self) -> None:
        """Let other stand-ins represent the inputs, and the old ones nothing."""
        tape = self.tape
        tape.withdraw()
        tape.clear()
        tape.inputs = [stand_in(tape, i, dtype) for i, dtype in enumerate(self.dtypes)]
        tape.lend([])
        tape.count_references()

    def state(self, tensors: Any, scalars: dict[str, Any]) -> Any:
        """Return a state that holds ``tensors`` and ``scalars``, unchecked."""
        if self.state_type is None:
            return None
        # The constructor is not called: this runs at every step, and a validation of
        # values has none to validate in a stand-in.
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
    """One recorded step: its operations, the targets of results, the new numbers."""

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
        """Return a key that is equal for steps that can share a program.

        It includes the optimizer's class: a program that agrees with one optimizer's
        step may match another's recording that has missed something.
        """
        ops, dtypes = tuple(self.ops), tuple(self.tape.dtypes)
        return (self.author, ops, self.outs, dtypes)


def trace(step: StepCall, layout: BucketLayout, scalars: dict[str, Any]) -> Trace:
    """Run ``step`` on stand-ins and return what it did.

    Raises NotElementwise if it has to run as it is written, and ImpureStepError if it
    breaks its contract.
    """
    tape = layout.tape
    tape.open()
    try:
        return _traced(step, layout, scalars)
    finally:
        tape.close()


def _traced(step: StepCall, layout: BucketLayout, scalars: dict[str, Any]) -> Trace:
    """Return what ``step`` did on the open tape of ``layout``; see `trace`."""
    tape = layout.tape
    try:
        tensor, values = _recorded(step, layout, scalars)
    except (NotElementwise, ImpureStepError):
        tape.close()
        tape.clear()
        raise
    except Exception as error:
        raise_of_signal(error)
        tape.close()
        tape.clear()
        # A stand-in is not a tensor; a real error is raised for a real one.
        raise NotElementwise(f"recording it raised {error!r:.80}") from error
    outs = [tensor]
    changed = scalars
    if values is not None:
        outs += [values[name] for name in layout.tensors]
        changed = {name: values[name] for name in scalars}
        if not all([type(value) in _NUMBERS for value in changed.values()]):  # noqa: C419  # a list is faster
            raise NotElementwise("it changes a number of the state to another type")
        if any([values[name] is not None for name in layout.absent]):  # noqa: C419  # a list is faster
            raise NotElementwise("it adds a tensor to the state")
    outs_at = _results(layout, outs)
    reads, author = tape.reads_shape, type(step.simple)
    return Trace(tape.ops, tape.constants, outs_at, changed, reads, tape, author)


@dataclass(slots=True)
class _Head:
    """The beginning of a step computed in another dtype, recorded once."""

    compute: torch.dtype
    ops: list[Op]
    tensor: StandIn
    grad: StandIn
    state_type: Any
    """The author's type; None if there is no state."""
    fields: dict[str, Any]
    """The tensors of the author's state, and its fields that are None."""
    dtypes: list[tuple[str, torch.dtype]]
    """The dtype in which each of these tensors is stored."""
    kept: frozenset[str]
    """The fields kept beside the author's state."""
    master: dict[str, Any]
    """The master weight by its name, if there is one."""

    @classmethod
    def of(cls, step: StepCall, layout: BucketLayout, scalars: Any) -> "_Head":
        """Record it on the tape of ``layout``, and fix it there."""
        tape = layout.tape
        tape.clear()
        ins = tape.inputs
        state_before = layout.state(ins[2:], scalars)
        tensor, grad, state = step.widened(ins[0], ins[1], state_before)
        fields = {} if state is None else vars(state)
        fields = {name: v for name, v in fields.items() if name not in scalars}
        state_type = None if state is None else type(state)
        inputs = dict(zip(layout.tensors, ins[2:], strict=True))
        head = cls(
            compute=tensor.dtype,
            # A copy, since the step continues to write into that of the tape.
            ops=[*tape.ops],
            tensor=tensor,
            grad=grad,
            state_type=state_type,
            fields=fields,
            dtypes=[(name, v.dtype) for name, v in inputs.items() if name in fields],
            kept=kept_names(layout.state_type),
            master={name: v for name, v in inputs.items() if name == MASTER},
        )
        tape.fix(head)
        return head

    def state(self, scalars: dict[str, Any]) -> Any:
        """Return the author's state with the numbers of this step."""
        if self.state_type is None:
            return None
        state: Any = object.__new__(self.state_type)
        fields = state.__dict__
        fields.update(self.fields)
        fields.update(scalars)
        for name in self.kept:
            fields.pop(name, None)
        return state

    def narrowed(
        self, tensor: Any, state: Any, weight: StandIn, scalars: dict[str, Any]
    ) -> tuple[Any, dict[str, Any] | None]:
        """Return the new weight and the fields to store, from the results of a step.

        It does for stand-ins what `StepCall.narrowed` does for tensors.
        """
        fields = dict(_fields(state, self.state_type) or {})
        for name, dtype in self.dtypes:
            value = fields.get(name)
            if type(value) is not StandIn or value.dtype is dtype:
                continue
            if value.is_floating_point():
                fields[name] = value.to(dtype)
        if self.kept:
            stored_fields = self.master or scalars
            return close_fields(
                fields, tensor, weight, self.kept, stored_fields
            ), fields
        return tensor.to(weight.dtype), None if state is None else fields


def _recorded(
    step: StepCall, layout: BucketLayout, scalars: dict[str, Any]
) -> tuple[Any, dict[str, Any] | None]:
    """Return the new tensor and the fields that ``step`` gives for stand-ins."""
    tape = layout.tape
    if tape.has_kept_inputs():
        layout.renew_inputs()
    ins = tape.inputs
    if step.compute is None:
        tape.clear()
        tensor, state = step(ins[0], ins[1], layout.state(ins[2:], scalars))
        return tensor, _fields(state, layout.state_type)
    # This runs at every step, and converts the arguments in the same way each time.
    head: _Head | None = tape.head
    if head is None or head.compute is not step.compute:
        head = _Head.of(step, layout, scalars)
        tape.lend([head.tensor, head.grad, *head.fields.values()])
        tape.count_references()
    else:
        tape.rewind(head.ops)
    tensor, state = step.stepped(head.tensor, head.grad, head.state(scalars))
    return head.narrowed(tensor, state, ins[0], scalars)


def _fields(state: Any, state_type: Any) -> dict[str, Any] | None:
    """Return the fields of a state that a step returned, which must be of a type."""
    if type(state) is not (state_type or type(None)):
        raise NotElementwise("it returns a state of a different type")
    return None if state is None else state.__dict__


# A subclass is refused: numpy's float64 is a float as well, and would be stored in a
# state in its place.
_NUMBERS = frozenset({int, float, bool, str})


def _results(layout: BucketLayout, outs: list[Any]) -> tuple[int, ...]:
    tape = layout.tape
    # Slot 1 is the gradient, which no step returns.
    for slot, out in zip((0, *range(2, tape.n_inputs)), outs, strict=True):
        if type(out) is not StandIn:
            raise NotElementwise(f"it returns no tensor for {tape.names[slot]}")
        if out.dtype is not layout.dtypes[slot]:
            raise ImpureStepError(
                f"step() returns {tape.names[slot]} as {out.dtype}, but was "
                f"called with {layout.dtypes[slot]}; convert it back: "
                "value.to(tensor.dtype)"
            )
    # IDs are read at the end, since an operation in place changes that of its stand-in.
    return tuple([out.id for out in outs])
