"""Plan: which parameters of a group are stepped together, and by which engine."""

from dataclasses import dataclass, field, replace
from operator import is_
from typing import Any

import torch
from torch import Tensor

from .bucket import Bucket, Engine, Unfit
from .choice import choose, is_elementwise, usable_kernel
from .loop import Loop, checked, plain, settled, state_of
from .memory.entangled import entangled
from .memory.tensor_form import is_dense, is_plain
from .portions import StepFailed
from .stacked import SIDE, Batched
from .torch_fused import Fused
from .tracing.recording import ImpureStepError
from .tracing.state_fields import declared, field_names
from .tracing.step_call import Step
from .tracing.trace import Layout

Stored = dict[str, Any]
_NUMBERS = (int, float, bool, str)


@dataclass(slots=True)
class Plan:
    """The buckets of a group, for as long as its parameters stay what they are."""

    step: Step
    """The call that it was made for, or that it was last found to serve."""
    params: list[Tensor]
    missing: list[bool]
    """Whether each parameter has no gradient."""
    buckets: list[Bucket] = field(default_factory=list)
    kinds: list[tuple[Any, Bucket]] = field(default_factory=list[tuple[Any, Bucket]])
    """What parameters are stepped together by, beside their numbers; and the first."""
    is_passing: bool = False
    """Whether it holds for one call only, because of what a gradient was."""
    computes_ahead: bool = False
    """Whether values are read before the job of another group has run."""

    def holds(
        self, params: list[Tensor], missing: list[bool], states: list[Stored | None]
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

    def has_filled(self, state: Stored) -> bool:
        """Return whether ``state`` had fields when it was planned for."""
        return any(bucket.has_filled(state) for bucket in self.buckets)

    def serves(self, step: Step, fused: bool | None) -> bool:
        """Return whether ``step`` would be planned to run on the same engines."""
        old = self.step
        is_same = step.simple is old.simple and step.maximize is old.maximize
        if not is_same and not (
            type(step.simple) is type(old.simple)
            and all(_keeps_kernel(b, step, fused) for b in self.buckets)
        ):
            return False
        self.step = step
        for bucket in self.buckets:  # no generator: every step asks
            if bucket.unrecorded is not None and _is_recordable(bucket, step):
                return False
        return True


def _keeps_kernel(bucket: Bucket, step: Step, fused: bool | None) -> bool:
    if bucket.unrecorded is None and isinstance(bucket.engine, Loop):
        return True
    layout = bucket.layout if bucket.unrecorded is None else bucket.unrecorded
    engine = bucket.engine
    own = engine.kernel if isinstance(engine, Fused) else None
    return usable_kernel(_called(bucket, step), layout, fused) is own


def _is_recordable(bucket: Bucket, step: Step) -> bool:
    """Return whether a bucket that had to run as written can now be recorded."""
    layout = bucket.unrecorded
    if layout is None:
        return False
    stored = declared(layout.state_type, bucket.states[0])
    numbers = {k: v for k, v in stored.items() if isinstance(v, _NUMBERS)}
    return is_elementwise(_called(bucket, step), layout, numbers)


def _called(bucket: Bucket, step: Step) -> Step:
    return step if bucket.compute is None else replace(step, compute=bucket.compute)


class Planner:
    """Makes plans; remembers which steps it has tried on copies."""

    def __init__(self, fused: bool | None) -> None:
        self.fused = fused
        self.dry = False
        self.tried = set[tuple[Any, ...]]()

    def plan(
        self,
        params: list[Tensor],
        grads: list[Tensor | None],
        states: list[Stored],
        types: list[type | None],
        computes: list[torch.dtype | None],
        step: Step,
        *,
        dry: bool = False,
    ) -> Plan:
        """Return the plan of a group. Raises ImpureStepError, before any change.

        A dry one is for looking at: nothing is run on its tensors.
        """
        self.dry = dry
        made = Plan(step, list(params), [g is None for g in grads])
        together: dict[tuple[Any, ...], list[int]] = {}
        why: dict[tuple[Any, ...], str] = {}
        layouts: dict[tuple[Any, ...], tuple[Layout, dict[str, Any]]] = {}
        in_turn = set[int]() if dry else entangled(params, grads)
        for i, grad in enumerate(grads):
            if grad is None:
                continue
            stored = declared(types[i], states[i])
            reason, passing = _obstacle(params[i], grad, stored)
            made.is_passing |= passing or bool(in_turn)
            if i in in_turn:
                # All in one bucket, whatever else is said of them.
                reason = "tensors share memory"
            layout, numbers = _layout(params[i], grad, stored, types[i])
            key = _key(layout, numbers) if not reason else (types[i], reason)
            key = (*key, computes[i])
            together.setdefault(key, []).append(i)
            layouts.setdefault(key, (layout, numbers))
            why[key] = reason
        for key, positions in together.items():
            layout, numbers = layouts[key]
            compute = computes[positions[0]]
            own = step if compute is None else replace(step, compute=compute)
            buckets = self._buckets(
                params, grads, states, positions, layout, numbers, own, why[key]
            )
            for bucket in buckets:
                bucket.compute = compute
            made.buckets += buckets
            alike = (*_key(layout, {}), compute)
            made.kinds += [(alike, bucket) for bucket in buckets[:1]]
        made.computes_ahead = any(b.engine.computes_ahead for b in made.buckets)
        return made

    def _buckets(
        self,
        params: list[Tensor],
        grads: list[Tensor | None],
        states: list[Stored],
        positions: list[int],
        layout: Layout,
        numbers: dict[str, Any],
        step: Step,
        reason: str,
    ) -> list[Bucket]:
        def bucket(engine: Engine, why: str, some: list[int], like: Layout) -> Bucket:
            columns = [[states[i][name] for i in some] for name in like.tensors]
            own = [params[i] for i in some]
            stored = [states[i] for i in some]
            return Bucket(like, own, some, stored, columns, numbers, engine, why)

        def looped(why: str) -> Bucket:
            bare = Layout(layout.like, layout.state_type, (), layout.dtypes[:2])
            made = bucket(Loop(), why, positions, bare)
            made.scalars = {}
            self._try(made, [g for i in positions if (g := grads[i]) is not None], step)
            return made

        if reason or self.fused is False:
            return [looped(reason or "fused=False")]
        try:
            choice = choose(step, layout, numbers, self.fused)
        except ImpureStepError as error:
            raise StepFailed(params[positions[0]]) from error
        engine, why = choice.engine, choice.why
        if engine is None:
            if step.simple.batched and step.compute is None:
                return self._stacked(params, positions, layout, bucket, why) or [
                    looped(why)
                ]
            made_loop = looped(why)
            if choice.may_change:
                made_loop.unrecorded = layout
            return [made_loop]
        parts = _by_shape(params, positions) if choice.reads_shape else [positions]
        made: list[Bucket] = []
        for part in parts:
            like = Layout(
                params[part[0]],
                layout.state_type,
                layout.tensors,
                layout.dtypes,
                layout.absent,
            )
            one = bucket(
                type(engine)() if not isinstance(engine, Fused) else engine,
                why,
                part,
                like,
            )
            if self.dry:
                made.append(one)
                continue
            try:
                one.fits([g for i in part if (g := grads[i]) is not None])
                one.locate()
            except Unfit as unfit:
                return [looped(str(unfit))]
            one.addresses = []
            made.append(one)
        return made

    def _stacked(
        self,
        params: list[Tensor],
        positions: list[int],
        layout: Layout,
        bucket: Any,
        why: str,
    ) -> list[Bucket]:
        """Return buckets of equal matrices, or none if any is too large for that."""
        parts = _by_shape(params, positions)
        if any(
            p.ndim != 2 or max(p.shape) > SIDE
            for p in map(params.__getitem__, positions)
        ):
            return []
        return [
            bucket(Batched(), f"equal small matrices; {why}", part, layout)
            for part in parts
        ]

    def _try(self, bucket: Bucket, grads: list[Tensor], step: Step) -> None:
        """Run the step once on copies of the smallest parameter and check results."""
        key = (type(step.simple), bucket.layout.state_type, bucket.layout.dtypes)
        if key in self.tried or self.dry:
            return
        i = min(range(len(bucket.params)), key=bucket.sizes.__getitem__)
        tensor = plain(bucket.params[i]).clone()
        stored = {
            k: v.clone() if isinstance(v, Tensor) else v
            for k, v in bucket.states[i].items()
        }
        state = state_of(bucket.layout.state_type, stored)
        try:
            grad = settled(grads[i], bucket.params[i]).clone()
            with torch.no_grad():
                checked(step, tensor, grad, state)
        except Exception as error:
            raise StepFailed(bucket.params[i]) from error
        self.tried.add(key)


def _obstacle(param: Tensor, grad: Tensor, stored: Stored) -> tuple[str, bool]:
    """Return why only the loop can step this, and whether the gradient is why."""
    if param.is_complex() or not (is_plain(param) or _is_fake(param)):
        return f"the parameter is a {type(param).__name__} of {param.dtype}", False
    if not is_dense(param):
        return "the parameter's elements do not fill one run of memory", False
    for name, value in stored.items():
        if isinstance(value, Tensor):
            if value.shape != param.shape or value.stride() != param.stride():
                return f"state.{name} has not the parameter's shape", False
        elif not isinstance(value, _NUMBERS):
            return f"state.{name} is a {type(value).__name__}", False
    if grad.layout is not torch.strided:
        return "the gradient is sparse", True
    if grad.dtype != param.dtype or grad.device != param.device:
        return "the gradient has another dtype or device", True
    if grad.shape != param.shape or grad.stride() != param.stride():
        return "the gradient has another memory format", True
    if grad.is_neg():
        return "the gradient is stored with the other sign", True
    return "", False


def _is_fake(tensor: Tensor) -> bool:
    return type(tensor).__name__ == "FakeTensor"


def _layout(
    param: Tensor, grad: Tensor, stored: Stored, state_type: type | None
) -> tuple[Layout, dict[str, Any]]:
    names = tuple(k for k, v in stored.items() if isinstance(v, Tensor))
    numbers = {k: v for k, v in stored.items() if isinstance(v, _NUMBERS)}
    dtypes = (param.dtype, grad.dtype, *(stored[name].dtype for name in names))
    absent = {name: None for name in field_names(state_type) if name not in stored}
    return Layout(param, state_type, names, dtypes, absent), numbers


def _key(layout: Layout, numbers: dict[str, Any]) -> tuple[Any, ...]:
    described = (layout.like.device, layout.dtypes, layout.state_type, layout.tensors)
    return (*described, tuple(numbers.items()), tuple(layout.absent))


def _have_merged(kinds: list[tuple[Any, Bucket]]) -> bool:
    """Return whether the numbers of two buckets of a kind have become the same.

    A resumed run would step them as one, and in half the last digits depend on it.
    """
    counted = [(kind, *b.scalars.items()) for kind, b in kinds if b.scalars]
    return len(set(counted)) < len(counted)


def _by_shape(params: list[Tensor], positions: list[int]) -> list[list[int]]:
    """Return the positions of parameters by their shape."""
    parts: dict[tuple[int, ...], list[int]] = {}
    for i in positions:
        parts.setdefault(tuple(params[i].shape), []).append(i)
    return list(parts.values())
