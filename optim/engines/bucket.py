"""Bucket: parameters that one engine steps together, with the same numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import is_, itemgetter
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...records.tensors.torch_internals import guard_of
from .memory.entangled import do_ranges_meet
from .memory.kept_places import KeptPlaces
from .renewals import Renewals
from .tracing.extended_state import ROUNDING_KEY, ROUNDING_STEP
from .tracing.state_fields import declared
from .tracing.step_call import StepCall
from .tracing.stochastic_rounding import streams_of
from .tracing.trace import BucketLayout, Trace, trace

P = TypeVar("P")

Job = Callable[[], None]
"""Does the writing part of a step; everything that can fail was done before."""


class Unfit(Exception):
    """An engine cannot handle this call; the message says why, and the loop does it."""


def trusted(
    programs: dict[Any, P | str], trace: Trace, generate: Callable[[], P | str]
) -> P:
    """Return the program of a trace, from ``programs``; Unfit says why it has none.

    A refusal is cached too, since finding it again would run the step once more.
    """
    key = trace.key()
    program_or_refusal = programs.get(key)
    if program_or_refusal is None:
        program_or_refusal = generate()
        # A state's class is in the key: a program that redefines one again and again
        # would fill its memory.
        if len(programs) >= _MOST_PROGRAMS:
            programs.clear()
        programs[key] = program_or_refusal
    if isinstance(program_or_refusal, str):
        raise Unfit(program_or_refusal)
    return program_or_refusal


_MOST_PROGRAMS = 1024


class Engine(Protocol):
    """Steps the parameters of a bucket."""

    name: str
    keeps_addresses: bool
    """Whether it writes to the addresses that the states had when it was planned."""
    computes_ahead: bool
    """Whether `prepare` may read values, and not only the job that it returns."""

    def prepare(self, bucket: "Bucket", grads: list[Tensor], step: StepCall) -> Job:
        """Return a job that writes the step; change nothing yet.

        Raises Unfit or NotElementwise for a call that the plain loop must do.
        """
        ...


@dataclass(slots=True)
class Bucket:
    """Parameters, their states, and how they are stepped."""

    layout: BucketLayout
    params: list[Tensor]
    positions: list[int]
    """The indices of the parameters in their group."""
    states: list[dict[str, Any]]
    """The optimizer's own state dicts; their tensors are ``columns``."""
    columns: list[list[Tensor]]
    scalars: dict[str, Any]
    engine: Engine
    why: str
    is_passing: bool = False
    """Whether a gradient is the reason for this choice, and the next may differ."""
    compute: torch.dtype | None = None
    """The dtype to compute in, if it is not the parameters'."""
    renewals: Renewals | None = None
    """Counts masters that are initialized again; None if they are not counted."""
    unrecorded: BucketLayout | None = None
    """The recorder to use, if only the numbers of this step prevented it."""
    sizes: list[int] = field(init=False)
    addresses: list[int] = field(default_factory=list[int])
    """The last known addresses of the tensors, then of the gradients."""
    overlaps: bool = False
    _found: list[int] = field(default_factory=list[int])
    _kept: list[Tensor] = field(init=False)
    _loose: list[tuple[dict[str, Any], str, Any]] = field(init=False)
    """Fields of states without columns: their tensors, or the types of the others."""
    _places: KeptPlaces | None = field(init=False)
    """The addresses of the states, if the engine keeps them: their storage may move."""
    _fields: Callable[[Any], Any] = field(init=False)
    _lengths: list[int] = field(init=False)
    _forms: list[tuple[Any, ...]] = field(init=False)
    _strides: list[tuple[int, ...]] = field(init=False)
    _guard: Any = None
    """What torch compares tensors and gradients with, since they last fitted."""

    def __post_init__(self) -> None:
        self.sizes = [p.numel() for p in self.params]
        self._lengths = list(map(len, self.states))
        self._forms = [_form(p) for p in self.params]
        self._strides = [p.stride() for p in self.params]
        names = self.layout.tensors
        self._fields = itemgetter(*names) if names else lambda state: ()
        columns = zip(*self.columns, strict=True)
        self._kept = [tensor for row in columns for tensor in row]
        self._loose = [] if self.columns else [*self._fields_now()]
        is_placed = self.engine.keeps_addresses
        self._places = KeptPlaces(self._kept) if is_placed else None

    def keys(self) -> Any:
        """Return the keys of the random bits of each parameter, as integers."""
        keys = [state[ROUNDING_KEY] for state in self.states]
        return np.array(keys, dtype=np.int64)

    def streams(self) -> Any:
        """Return by parameter the keys of the bits of this step, as integers."""
        return streams_of(self.keys(), self.scalars.get(ROUNDING_STEP, 0))

    def masters(self) -> list[Tensor] | None:
        """Return the master weights, if there are any and they are counted."""
        at = self.layout.master
        return None if at is None or self.renewals is None else self.columns[at]

    def trace(self, step: StepCall) -> Trace:
        """Return what ``step`` does to each parameter. Raises Unfit, NotElementwise.

        A step may ask for the shape in some calls only, after parameters of several
        shapes were planned together: it is recorded for the first of them.
        """
        recorded = trace(step, self.layout, self.scalars)
        if recorded.reads_shape or recorded.tape.has_tensors:
            shape = self.params[0].shape
            if any(param.shape != shape for param in self.params):
                raise Unfit("it depends on the shape at some steps only")
        return recorded

    def holds(self, states: Sequence[dict[str, Any] | None]) -> bool:
        """Return whether the group's states are still the ones planned for."""
        if len(states) != len(self.positions):
            states = [states[i] for i in self.positions]
        if not all(map(is_, states, self.states)):
            return False
        if list(map(len, self.states)) != self._lengths:
            return False
        try:
            if self._kept:
                fields = map(self._fields, self.states)
                rows = chain.from_iterable(fields) if len(self.columns) != 1 else fields
                if not all(map(is_, rows, self._kept)):
                    return False
            if not all([_form_of(state[n]) is form for state, n, form in self._loose]):  # noqa: C419  # a list is faster
                return False
            # A planned tensor may have moved to other memory, while the engine still
            # has its old addresses.
            if self._places is not None and not self._places.are_unchanged():
                return False
            # count() compares in C, since this runs for every state at every step.
            for name, value in self.scalars.items():
                if [s[name] for s in self.states].count(value) != len(self.states):
                    return False
        except Exception as error:
            raise_of_signal(error)
            # A field was removed, or has a value that cannot be compared with numbers.
            return False
        return True

    def _fields_now(self) -> Iterator[tuple[dict[str, Any], str, Any]]:
        for state in self.states:
            for name, value in declared(self.layout.state_type, state).items():
                yield state, name, _form_of(value)

    def has_filled(self, state: dict[str, Any]) -> bool:
        """Return whether ``state`` is a dict of its own, with fields."""
        pairs = zip(self.states, self._lengths, strict=True)
        return any(candidate is state and length for candidate, length in pairs)

    def keeps(self) -> bool:
        """Return whether parameters still have dtypes, shapes, devices and strides.

        States follow to another memory format, in whose order sums are computed.
        """
        return [_form(p) for p in self.params] == self._forms and self._strides == [
            p.stride() for p in self.params
        ]

    def fits(self, grads: list[Tensor]) -> bool:
        """Return whether tensors and gradients still have the planned forms."""
        tensors = self.params + grads
        # A single pass in C over all of them; those that it refuses may fit
        # nevertheless.
        if self._guard is None or not self._guard.check(*tensors):
            if not self._have_forms(grads):
                return False
            self._guard = guard_of(tensors)
        if self.layout.like.device.type == "cpu":
            self._found = list(map(_address, tensors))
        return True

    def _have_forms(self, grads: list[Tensor]) -> bool:
        """Return whether all are dense, of the planned shapes, dtypes, devices."""
        dtype = self.layout.dtypes[1]
        return self.keeps() and all(
            grad.layout is torch.strided
            and (grad.dtype, grad.shape, grad.device) == (dtype, *form[1:])
            and param.stride() == grad.stride() == stride
            and not grad.is_neg()
            for param, grad, form, stride in zip(
                self.params, grads, self._forms, self._strides, strict=True
            )
        )

    def locate(self) -> None:
        """Adopt the addresses that `fits` found; a new list if any has changed.

        Raises Unfit if a parameter shares memory with another or with a gradient.
        """
        if self._found != self.addresses:
            width = self.layout.dtypes[0].itemsize
            self.overlaps = _overlap(self._found, [size * width for size in self.sizes])
            self.addresses = self._found
        if self.overlaps:
            raise Unfit("tensors share memory")

    def commit(self, scalars: dict[str, Any]) -> None:
        """Store the numbers of the states after a step."""
        self.scalars = scalars
        for name, value in scalars.items():
            for state in self.states:
                state[name] = value


def _form_of(value: Any) -> Any:
    """Return a tensor itself, since steps write to it, or the type of another value."""
    return value if isinstance(value, Tensor) else type(value)


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.device


_address = torch.Tensor.data_ptr


def _overlap(addresses: list[int], nbytes: Sequence[int]) -> bool:
    """Return whether a parameter shares memory with another or with a gradient."""
    starts = np.array(addresses[: len(nbytes)], dtype=np.int64)
    size = np.array(nbytes, dtype=np.int64)
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    low = np.array(addresses[len(nbytes) :], dtype=np.int64)
    return do_ranges_meet(starts, starts + size[order], low, low + size)
