"""Plan: which parameters of a group are stepped together, and by which engine."""

from collections.abc import Container
from dataclasses import dataclass, field, replace
from operator import is_
from typing import Any

import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...config.short_text import with_article
from ...records.tensors.memory import is_dense
from .bucket import Bucket, Engine, Unfit
from .choice import EngineChoice, choose, is_elementwise, usable_kernel
from .gathered import Gathered
from .loop import Loop
from .memory.entangled import entangled
from .memory.tensor_form import is_plain_tensor, stepped_tensor
from .portions import StepFailed
from .shares import OnShares, Share, share_of_step
from .stacked import SIDE, Stacked
from .torch_fused import TorchFused
from .tracing.extended_state import ROUNDING_KEY, rounds
from .tracing.recording import ImpureStepError
from .tracing.state_fields import declared, field_names, state_of
from .tracing.step_call import StepCall
from .tracing.trace import BucketLayout
from .written_step import checked, in_digits_of, matching_grad

StateFields = dict[str, Any]
_NUMBERS = (int, float, bool, str)


@dataclass(slots=True)
class Plan:
    """The buckets of a group, valid as long as its parameters do not change."""

    step: StepCall
    """The call that it was made for, or that it was last found to be valid for."""
    params: list[Tensor]
    missing: list[bool]
    """Whether each parameter has no gradient."""
    buckets: list[Bucket] = field(default_factory=list)
    kinds: list[tuple[Any, Bucket]] = field(default_factory=list[tuple[Any, Bucket]])
    """What determines the buckets besides numbers of parameters; and the first one."""
    is_passing: bool = False
    """Whether it is valid for one call only, because of a gradient."""
    computes_ahead: bool = False
    """Whether values are read before the job of another group has run."""

    def holds(
        self,
        params: list[Tensor],
        missing: list[bool],
        states: list[StateFields | None],
    ) -> bool:
        """Return whether the plan was made for these parameters and states."""
        return (
            not self.is_passing
            and len(params) == len(self.params)
            and missing == self.missing
            and all(map(is_, params, self.params))
            and all(bucket.holds(states) for bucket in self.buckets)
            and (len(self.kinds) < 2 or not _have_merged(self.kinds))
        )

    def has_filled(self, state: StateFields) -> bool:
        """Return whether ``state`` had fields when it was planned for."""
        return any(bucket.has_filled(state) for bucket in self.buckets)

    def serves(self, step: StepCall, fused: bool | None) -> bool:
        """Return whether ``step`` would be planned to run on the same engines."""
        planned = self.step
        is_same = (
            step.simple is planned.simple
            and step.maximize is planned.maximize
            # Setting or removing a clip affects whether a kernel can be used.
            and step.is_plain is planned.is_plain
        )
        if not is_same and not (
            type(step.simple) is type(planned.simple)
            and all(_keeps_kernel(b, step, fused) for b in self.buckets)
        ):
            return False
        # Later calls are compared with this one, so that the comparison above is made
        # only once for changed hyperparameters.
        self.step = step
        for bucket in self.buckets:  # not a generator, since this runs at every step
            if bucket.unrecorded is not None and _is_recordable(bucket, step):
                return False
        return True


def _keeps_kernel(bucket: Bucket, step: StepCall, fused: bool | None) -> bool:
    # The loop runs any step as it is written, so that no hyperparameter affects it.
    if bucket.unrecorded is None and isinstance(bucket.engine, Loop | Gathered):
        return True
    # A bucket of the loop has a reduced layout, without the tensors of the state by
    # which a kernel is chosen.
    layout = bucket.layout if bucket.unrecorded is None else bucket.unrecorded
    engine = bucket.engine
    if isinstance(engine, OnShares):
        engine = engine.engine
    kernel = engine.kernel if isinstance(engine, TorchFused) else None
    return usable_kernel(_called(bucket, step), layout, fused) is kernel


def _is_recordable(bucket: Bucket, step: StepCall) -> bool:
    """Return whether a bucket that had to run as written can now be recorded."""
    layout = bucket.unrecorded
    if layout is None:
        return False
    fields = declared(layout.state_type, bucket.states[0])
    numbers = {k: v for k, v in fields.items() if isinstance(v, _NUMBERS)}
    return is_elementwise(_called(bucket, step), layout, numbers)


def _called(bucket: Bucket, step: StepCall) -> StepCall:
    return step if bucket.compute is None else replace(step, compute=bucket.compute)


@dataclass(slots=True)
class Slot:
    """One parameter of a group, with everything its step is planned from."""

    param: Tensor
    grad: Tensor | None
    state: StateFields
    state_type: type | None
    compute: torch.dtype | None
    """The dtype to compute in, if it is not the parameter's."""
    share: Share | None = None
    """This process's part of it, if several processes share it."""


@dataclass(slots=True)
class _Kind:
    """Slots of a group that are stepped in the same way, possibly in one bucket."""

    layout: BucketLayout
    numbers: dict[str, Any]
    reason: str
    """Why only the loop can step them; empty if that is not known yet."""
    compute: torch.dtype | None
    is_sharded: bool = False
    """Whether the parameters are distributed over processes."""
    is_passing: bool = False
    """Whether a gradient is the reason that only the loop can step them now."""
    positions: list[int] = field(default_factory=list[int])
    slots: list[Slot] = field(default_factory=list[Slot])

    def bucket(self, engine: Engine, why: str, layout: BucketLayout) -> Bucket:
        """Return a bucket of all the slots; ``layout`` has the fields it stacks."""
        states = [slot.state for slot in self.slots]
        columns = [[state[name] for state in states] for name in layout.tensors]
        params = [slot.param for slot in self.slots]
        bucket = Bucket(
            layout,
            params,
            self.positions,
            states,
            columns,
            self.numbers,
            engine,
            why,
        )
        bucket.compute = self.compute
        return bucket

    def on_shares(self, engine: Engine, why: str) -> Bucket:
        """Return a bucket of all the slots whose shares ``engine`` steps."""
        shares = [slot.share for slot in self.slots if slot.share is not None]
        layout = replace(self.layout, like=shares[0].param)
        columns = [[s.fields[name] for s in shares] for name in layout.tensors]
        params = [share.param for share in shares]
        states = [slot.state for slot in self.slots]
        local = Bucket(
            layout, params, self.positions, states, columns, self.numbers, engine, why
        )
        why = f"{why}, on the shares of this process"
        return self.bucket(OnShares(engine, local), why, layout)

    def grads(self) -> list[Tensor]:
        """Return the gradients of the slots, which all have one."""
        return [slot.grad for slot in self.slots if slot.grad is not None]

    def by_shape(self) -> "list[_Kind]":
        """Return the slots of each shape as a separate kind."""
        parts: dict[tuple[int, ...], _Kind] = {}
        for position, slot in zip(self.positions, self.slots, strict=True):
            shape = tuple(slot.param.shape)
            if shape not in parts:
                parts[shape] = replace(self, positions=[], slots=[])
            parts[shape].positions.append(position)
            parts[shape].slots.append(slot)
        return list(parts.values())


class BucketPlanner:
    """Makes plans; remembers which steps were tried on copies."""

    def __init__(self, fused: bool | None) -> None:
        self.fused = fused
        self.tried = set[tuple[Any, ...]]()

    def plan(self, slots: list[Slot], step: StepCall, *, is_dry: bool = False) -> Plan:
        """Return the plan of a group. Raises ImpureStepError, before any change.

        A dry plan is for reports: nothing is run on its tensors.
        """
        params = [slot.param for slot in slots]
        grads = [slot.grad for slot in slots]
        plan = Plan(step, params, [grad is None for grad in grads])
        in_turn = set[int]() if is_dry else entangled(params, grads)
        kinds, is_passing = _kinds_of(slots, in_turn)
        # Gradients are other tensors at each step, so what one of them prevents, or
        # which memory it shares, does not apply to the next.
        plan.is_passing = is_passing or bool(in_turn)
        for kind in kinds:
            call = step if kind.compute is None else replace(step, compute=kind.compute)
            buckets = self._buckets(kind, call, is_dry=is_dry)
            plan.buckets += buckets
            plan.is_passing |= kind.is_passing
            alike = (*_key(kind.layout, {}), kind.compute)
            plan.kinds += [(alike, bucket) for bucket in buckets[:1]]
        plan.computes_ahead = any(b.engine.computes_ahead for b in plan.buckets)
        return plan

    def _buckets(self, kind: _Kind, step: StepCall, *, is_dry: bool) -> list[Bucket]:
        if kind.is_sharded:
            return [self._sharded(kind, step, is_dry)]
        if kind.reason or self.fused is False:
            return [self._looped(kind, kind.reason or "fused=False", step, is_dry)]
        choice = self._choice(kind, step)
        make, why = choice.make, choice.why
        if make is None:
            if step.simple.batched and _are_small(kind):
                why = f"equal small matrices; {why}"
                return [
                    part.bucket(Stacked(), why, kind.layout) for part in kind.by_shape()
                ]
            bucket = self._looped(kind, why, step, is_dry)
            if choice.may_change:
                bucket.unrecorded = kind.layout
            return [bucket]
        buckets: list[Bucket] = []
        # Numbers that a step computed from a shape are wrong for every other shape.
        for part in kind.by_shape() if choice.reads_shape else [kind]:
            # A trace is stored in its layout, so each bucket has a layout of its own.
            layout = replace(kind.layout, like=part.slots[0].param)
            bucket = part.bucket(make(), why, layout)
            buckets.append(bucket)
            if is_dry:
                continue
            bucket.fits(part.grads())
            refusal = _refusal(bucket)
            if refusal:
                kind.is_passing = True
                return [self._looped(kind, refusal, step, is_dry)]
        return buckets

    def _choice(self, kind: _Kind, step: StepCall) -> EngineChoice:
        try:
            return choose(step, kind.layout, kind.numbers, self.fused)
        except ImpureStepError as error:
            raise StepFailed(kind.slots[0].param) from error

    def _sharded(self, kind: _Kind, step: StepCall, is_dry: bool) -> Bucket:
        """Return the bucket of parameters that are distributed over processes.

        Whether they are gathered is determined by facts that all processes know, and
        never by the memory of their shares: a process that gathers alone waits forever.
        """
        choice = self._choice(kind, step)
        make, why = choice.make, choice.why
        is_elementwise = make is not None and not choice.reads_shape
        if is_elementwise or choice.draws or knows_shares(step):
            reason = kind.reason or ("fused=False" if self.fused is False else "")
            if make is None or not is_elementwise or reason:
                return self._looped(kind, reason or why, step, is_dry)
            return self._on_shares(kind, make(), why, step, is_dry)
        bucket = self._looped(kind, why, step, is_dry=True)
        bucket.engine = Gathered()
        if choice.may_change:
            bucket.unrecorded = kind.layout
        return bucket

    def _on_shares(
        self, kind: _Kind, engine: Engine, why: str, step: StepCall, is_dry: bool
    ) -> Bucket:
        bucket = kind.on_shares(engine, why)
        on_shares = bucket.engine
        if is_dry or not isinstance(on_shares, OnShares):
            return bucket
        on_shares.fits(bucket, kind.grads())
        refusal = _refusal(on_shares.shares)
        if refusal:
            kind.is_passing = True
            return self._looped(kind, refusal, step, is_dry)
        return bucket

    def _looped(self, kind: _Kind, why: str, step: StepCall, is_dry: bool) -> Bucket:
        layout = kind.layout
        # The loop writes every field of a state itself: no columns have to be kept in
        # place, and no numbers written back.
        bare = BucketLayout(layout.like, layout.state_type, (), layout.dtypes[:2])
        bucket = kind.bucket(Loop(), why, bare)
        bucket.scalars = {}
        bucket.is_passing = kind.is_passing
        if not is_dry:
            self._try(bucket, kind.grads(), step)
        return bucket

    def _try(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> None:
        """Run the step once on copies of the smallest parameter and check results."""
        key = (type(step.simple), bucket.layout.state_type, bucket.layout.dtypes)
        if key in self.tried:
            return
        i = min(range(len(bucket.params)), key=bucket.sizes.__getitem__)
        tensor = stepped_tensor(bucket.params[i]).clone()
        fields = {
            k: v.clone() if isinstance(v, Tensor) else v
            for k, v in bucket.states[i].items()
        }
        state = state_of(bucket.layout.state_type, fields)
        try:
            step = in_digits_of(grads[i], bucket.params[i], step)
            grad = matching_grad(grads[i], bucket.params[i], step).clone()
            with torch.no_grad():
                checked(step, tensor, grad, state)
        except Exception as error:
            raise_of_signal(error)
            raise StepFailed(bucket.params[i]) from error
        self.tried.add(key)


def _kinds_of(slots: list[Slot], in_turn: Container[int]) -> tuple[list[_Kind], bool]:
    """Return the slots that have a gradient, in kinds stepped in the same way.

    Those of ``in_turn`` share memory with others. Also returns whether any gradient
    prevents what another would allow.
    """
    kinds: dict[tuple[Any, ...], _Kind] = {}
    is_any_passing = False
    for i, slot in enumerate(slots):
        if slot.grad is None:
            continue
        fields = declared(slot.state_type, slot.state)
        is_sharded = hasattr(slot.param, "device_mesh")
        like = Share(slot.param, slot.grad, fields)
        if is_sharded:
            slot.share = share_of_step(slot.param, slot.grad, fields)
            like = slot.share or like
        obstacle, is_passing = _obstacle(like.param, like.grad, like.fields)
        is_any_passing |= is_passing
        reason = obstacle
        if is_sharded and rounds(slot.state_type):
            reason = "rounding counts the elements of the whole"
        if rounds(slot.state_type) and not (reason or slot.param.is_contiguous()):
            reason = "rounding counts elements in a different order from memory"
        if i in in_turn:
            # All in one bucket, regardless of their kinds: each has to see what the
            # steps before it wrote.
            reason = "tensors share memory"
        layout, numbers = _layout(like.param, like.grad, like.fields, slot.state_type)
        # The loop takes one parameter after the other: those it steps need a state of
        # one type, but no equal layouts or numbers.
        key = _key(layout, numbers) if not reason else (slot.state_type, reason)
        key = (*key, slot.compute, is_sharded)
        if key not in kinds:
            kinds[key] = _Kind(layout, numbers, reason, slot.compute, is_sharded)
            kinds[key].is_passing = is_passing and reason == obstacle
        kinds[key].positions.append(i)
        kinds[key].slots.append(slot)
    return list(kinds.values()), is_any_passing


def _obstacle(param: Tensor, grad: Tensor, fields: StateFields) -> tuple[str, bool]:
    """Return why only the loop can step this, and whether the gradient is why."""
    if param.is_complex() or not (is_plain_tensor(param) or _is_fake(param)):
        return (
            f"the parameter is {with_article(type(param).__name__)} of {param.dtype}",
            False,
        )
    if not is_dense(param):
        return "the parameter's elements are not contiguous in memory", False
    for name, value in fields.items():
        if isinstance(value, Tensor):
            if value.shape != param.shape or value.stride() != param.stride():
                return f"state.{name} does not have the parameter's shape", False
        elif not isinstance(value, _NUMBERS):
            return f"state.{name} is {with_article(type(value).__name__)}", False
    # Gradients are checked last, since a plan stays valid if the reason is one that
    # later steps have too.
    if grad.layout is not torch.strided:
        return "the gradient is sparse", True
    if grad.dtype != param.dtype or grad.device != param.device:
        return "the gradient has a different dtype or device", True
    if grad.shape != param.shape or grad.stride() != param.stride():
        return "the gradient has a different memory format", True
    if grad.is_neg():
        return "the gradient is stored negated", True
    return "", False


def _refusal(bucket: Bucket) -> str:
    """Return why a new bucket cannot be stepped as one, since memory is shared.

    Its parameters do not overlap, or they would be stepped one after the other: so one
    overlaps its own gradient, and the next gradient may be elsewhere.
    """
    try:
        bucket.locate()
    except Unfit as unfit:
        return str(unfit)
    # The first step treats the addresses as new, and makes its table from them.
    bucket.addresses = []
    return ""


def _is_fake(tensor: Tensor) -> bool:
    # The class is in a private module of torch, so it is recognized by name alone.
    return type(tensor).__name__ == "FakeTensor"


def _layout(
    param: Tensor, grad: Tensor, fields: StateFields, state_type: type | None
) -> tuple[BucketLayout, dict[str, Any]]:
    names = tuple(k for k, v in fields.items() if isinstance(v, Tensor))
    numbers = {k: v for k, v in fields.items() if isinstance(v, _NUMBERS)}
    if rounds(state_type):
        # Each parameter has a different key, and one program serves them all.
        numbers.pop(ROUNDING_KEY, None)
    dtypes = (param.dtype, grad.dtype, *(fields[name].dtype for name in names))
    absent = {name: None for name in field_names(state_type) if name not in fields}
    return BucketLayout(param, state_type, names, dtypes, absent), numbers


def _key(layout: BucketLayout, numbers: dict[str, Any]) -> tuple[Any, ...]:
    described = (layout.like.device, layout.dtypes, layout.state_type, layout.tensors)
    return (*described, tuple(numbers.items()), tuple(layout.absent))


def _have_merged(kinds: list[tuple[Any, Bucket]]) -> bool:
    """Return whether the numbers of two buckets of a kind have become equal.

    A resumed run would step them as one, and in half precision the last digits depend
    on it.
    """
    counted = [(kind, *b.scalars.items()) for kind, b in kinds if b.scalars]
    return len(set(counted)) < len(counted)


def knows_shares(step: StepCall) -> bool:
    """Return whether the step is correct on DTensors, and gathers what it has to."""
    # A subclass does not inherit it, since it may override `step`.
    return bool(vars(type(step.simple)).get("_knows_shares"))


def _are_small(kind: _Kind) -> bool:
    """Return whether all are matrices too small to fill the processor alone."""
    return all(s.param.ndim == 2 and max(s.param.shape) <= SIDE for s in kind.slots)
