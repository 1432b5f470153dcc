"""Stepper: from gradients to jobs; it makes states and plans where they are lacking."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...config.process.interrupts import leaving_nothing_open
from ...config.process.user_warning import warn_user
from ..bound.bound_params import Binding
from ..bound.state_check import check_held, check_values
from ..engines.bucket import Bucket, Engine, Job, Unfit
from ..engines.loop import Loop, follow, plain
from ..engines.memory.arena import Arena
from ..engines.memory.entangled import Entanglement, overlaps_itself
from ..engines.memory.tensor_form import copied, has_form_of, is_plain
from ..engines.plan import Plan, Planner
from ..engines.portions import StepFailed
from ..engines.tracing.generators import kept_generators
from ..engines.tracing.recording import ImpureStepError, NotElementwise
from ..engines.tracing.state_fields import fields_of, tensor_names
from ..engines.tracing.step_call import Step, TensorOptimizer

Stored = dict[str, Any]
"""A state as the fields of a dict, as torch keeps it."""

States = dict[Tensor, Stored]
_MANY = 4096
PathOf = Callable[[Tensor], str]


class Stepper:
    """Prepares the steps of one optimizer's groups; a job writes what was prepared."""

    def __init__(
        self, fused: bool | None, state_dtype: torch.dtype | None, binding: Binding
    ) -> None:
        self.state_dtype = state_dtype
        self.path_of = binding.path_of
        self.planner = Planner(fused)
        self.entanglement = Entanglement()
        self.plans: dict[int, Plan] = {}
        self._blanks: dict[tuple[Any, ...], Any] = {}
        self._arenas: dict[int, Arena] = {}
        self._entanglements: dict[int, Entanglement] = {}

    def jobs(
        self,
        index: int,
        params: list[Tensor],
        grads: list[Tensor | None],
        states: States,
        call: Step,
        settle: Callable[[], None],
    ) -> list[Job]:
        """Return what writes the step of group ``index``; states are made before.

        ``settle`` is called before values are read, and not only by the jobs. Raises
        StepFailed; parameters and states are as they were, or as ``settle`` left them.
        """
        plan = self._plan(index, params, grads, states, call, settle)
        try:
            return [self._job(bucket, grads, call) for bucket in plan.buckets]
        except (Unfit, NotElementwise):
            # A resumed run would plan this step anew, so this one does.
            del self.plans[index]
        plan = self._plan(index, params, grads, states, call, settle)
        jobs: list[Job] = []
        for bucket in plan.buckets:
            try:
                jobs.append(self._job(bucket, grads, call))
            except (Unfit, NotElementwise):
                jobs.append(self._job(bucket, grads, call, Loop()))
        return jobs

    def _job(
        self,
        bucket: Bucket,
        grads: list[Tensor | None],
        call: Step,
        engine: Engine | None = None,
    ) -> Job:
        given, own = _given(bucket, grads), call
        if bucket.compute is not None:
            own = dataclasses.replace(call, compute=bucket.compute)
        try:
            return (engine or bucket.engine).prepare(bucket, given, own)
        except ImpureStepError as error:
            raise StepFailed(bucket.params[0]) from error

    def house(
        self, groups: list[list[Tensor]], states: States, *, adopt: bool
    ) -> States:
        """Return all states of the optimizer with their tensors in new storage.

        ``adopt`` takes large ones over as they are, where nothing else refers to them.
        """
        self._arenas = {i: Arena(params) for i, params in enumerate(groups)}
        return {
            param: self._arenas[i].house(param, states[param], adopt=adopt)
            for i, params in enumerate(groups)
            for param in params
            if param in states
        }

    def initialize(
        self,
        index: int,
        params: list[Tensor],
        grads: list[Tensor | None],
        states: States,
        call: Step,
    ) -> list[Any]:
        """Make the states that are lacking; return what each looks like at first."""
        blanks = [self.blank(call.simple, p) for p in params]
        missing = [g is None for g in grads]
        self._initialize(index, params, missing, states, blanks, call)
        return blanks

    @leaving_nothing_open
    def plan_of(
        self, index: int, params: list[Tensor], states: States, call: Step
    ) -> Plan:
        """Return the plan of the last step, or that of a first one to come."""
        plan = self.plans.get(index)
        if plan is not None and plan.buckets:
            return plan
        blanks = [self.blank(call.simple, p) for p in params]
        kept = [
            states.get(p)
            or {
                k: v
                for k, v in (fields_of(b) if b is not None else {}).items()
                if v is not None
            }
            for p, b in zip(params, blanks, strict=True)
        ]
        types = [type(b) if b is not None else None for b in blanks]
        computes = [
            self._compute(p, s, b) for p, s, b in zip(params, kept, blanks, strict=True)
        ]
        grads: list[Tensor | None] = [p.detach() for p in params]
        with kept_generators(torch.device("cpu")):
            return self.planner.plan(
                params, grads, kept, types, computes, call, dry=True
            )

    def blank(self, simple: TensorOptimizer, param: Tensor) -> Any:
        """Return the state of ``param`` before the first step, without its values.

        Raises what `init` raises for a parameter that it does not take, and TypeError
        for a state that is no record.
        """
        dtype = self.state_dtype or param.dtype
        key: tuple[Any, ...] = (type(simple), simple, param.shape, param.dtype)
        try:
            known = key in self._blanks
        except TypeError:  # a hyperparameter that has no hash
            key = (type(simple), repr(simple), param.shape, param.dtype)
            known = key in self._blanks
        if not known:
            # A schedule on a hyperparameter makes another optimizer of each step.
            if len(self._blanks) >= _MANY:
                self._blanks.clear()
            self._blanks[key] = _blank(simple, param, dtype, self.path_of)
        return self._blanks[key]

    def _plan(
        self,
        index: int,
        params: list[Tensor],
        grads: list[Tensor | None],
        states: States,
        call: Step,
        settle: Callable[[], None],
    ) -> Plan:
        missing = [g is None for g in grads]
        stored = list(map(states.get, params))
        plan = self.plans.get(index)
        if (
            plan is not None
            and plan.holds(params, missing, stored)
            and self._has_fields(plan, call.simple)
            and plan.serves(call, self.planner.fused)
            and all([_fits(bucket, grads) for bucket in plan.buckets])  # noqa: C419  # a list is faster
            and not (len(plan.buckets) > 1 and self._have_met(index, params, grads))
        ):
            if plan.computes_ahead:
                settle()
            return plan
        settle()
        plan = self.plans[index] = self._plan_anew(index, params, grads, states, call)
        return plan

    @leaving_nothing_open
    def _plan_anew(
        self,
        index: int,
        params: list[Tensor],
        grads: list[Tensor | None],
        states: States,
        call: Step,
    ) -> Plan:
        for param, grad in zip(params, grads, strict=True):
            if grad is not None:
                check_values(self.path_of(param), param)
        blanks = self.initialize(index, params, grads, states, call)
        kept = [states.get(p, {}) for p in params]
        types = [type(b) if b is not None else None for b in blanks]
        computes = [
            self._compute(p, s, b) for p, s, b in zip(params, kept, blanks, strict=True)
        ]
        # What is tried on the way may draw numbers that the run did not draw.
        with kept_generators(params[0].device if params else torch.device("cpu")):
            return self.planner.plan(params, grads, kept, types, computes, call)

    def _have_met(
        self, index: int, params: list[Tensor], grads: list[Tensor | None]
    ) -> bool:
        """Return whether parameters of several buckets have come to share memory."""
        held = [p for p, grad in zip(params, grads, strict=True) if grad is not None]
        present = [grad for grad in grads if grad is not None]
        if index not in self._entanglements:
            self._entanglements[index] = Entanglement()
        return self._entanglements[index].is_there(held, present)

    def _has_fields(self, plan: Plan, simple: TensorOptimizer) -> bool:
        """Return whether states have what changed hyperparameters make a step need."""
        return simple is plan.step.simple or all(
            tensor_names(self.blank(simple, bucket.params[0]))
            <= bucket.states[0].keys()
            for bucket in plan.buckets
        )

    def _initialize(
        self,
        index: int,
        params: list[Tensor],
        missing: list[bool],
        states: States,
        blanks: list[Any],
        call: Step,
    ) -> None:
        """Make the states that are lacking; bring the others to their parameters."""
        new: list[Tensor] = []
        for param, absent, blank in zip(params, missing, blanks, strict=True):
            if absent:
                continue
            known = states.get(param)
            is_empty = isinstance(known, dict) and not known
            if known is None or (is_empty and blank is not None):
                new.append(param)
            else:
                check_held(self.path_of(param), param, known, blank)
                settle(param, known)
        _part(
            [p for p, absent in zip(params, missing, strict=True) if not absent], states
        )
        self._warn_of_emptied(index, [p for p in new if p in states], states)
        arena = self._arena(index, params) if new else Arena([])
        made: States = {}
        for param in new:
            tensor = plain(param)
            if self.state_dtype is not None:
                tensor = tensor.to(self.state_dtype)
            state = call.simple.init(tensor)
            fields = {} if state is None else fields_of(state)
            made[param] = arena.house(param, fields)
        states.update(made)

    def _warn_of_emptied(
        self, index: int, params: list[Tensor], states: States
    ) -> None:
        """Warn of states whose fields were taken away one by one, or with clear()."""
        plan = self.plans.get(index)
        if plan is None:
            return
        emptied = [p for p in params if plan.has_filled(states[p])]
        if emptied:
            paths = [self.path_of(p) for p in emptied]
            shown = ", ".join(paths[:4]) + (", ..." if len(paths) > 4 else "")
            warn_user(
                f"{shown}: its state in optim.state was emptied, so it begins anew, as "
                "in torch; `del optim.state[param]` says so without a warning",
                RuntimeWarning,
            )

    def _arena(self, index: int, params: list[Tensor]) -> Arena:
        arena = self._arenas.get(index)
        if arena is None or not arena.holds(params):
            arena = self._arenas[index] = Arena(list(params))
        return arena

    def _compute(self, param: Tensor, stored: Stored, blank: Any) -> torch.dtype | None:
        """Return the dtype to compute in where it is not the parameter's."""
        wide = torch.promote_types(self.state_dtype or param.dtype, param.dtype)
        differs = self.state_dtype is not None and self.state_dtype != param.dtype
        for name, value in stored.items():
            if isinstance(value, Tensor) and value.dtype != param.dtype:
                usual = getattr(blank, name, None)
                if isinstance(usual, Tensor) and usual.dtype != value.dtype:
                    wide, differs = torch.promote_types(wide, value.dtype), True
        return wide if differs and not param.is_complex() else None


def settle(param: Tensor, stored: Stored) -> None:
    """Bring the tensors of a state to the parameter's device and memory format."""
    follow(stored, param.device)
    for name, value in stored.items():
        is_tensor = isinstance(value, Tensor) and has_form_of(param, value)
        if is_tensor and value.stride() != param.stride():
            stored[name] = copied(param, value)


def _part(params: list[Tensor], states: States) -> None:
    """Give states memory of their own where somebody let them share it.

    Engines write them in different orders, and each would give other numbers. That of
    another group's is not theirs either.
    """
    seen = set(filter(None, map(_address, params)))
    own = set(params)
    for other, fields in states.items():
        if other not in own:
            # Somebody may have put there what is no dict.
            values = fields.values() if hasattr(fields, "values") else ()
            seen.update(filter(None, map(_address, (other, *values))))
    dicts = set[int]()
    for param in params:
        stored = states.get(param)
        if not stored:
            continue
        if id(stored) in dicts:
            stored = states[param] = dict(stored)
        dicts.add(id(stored))
        for name, value in stored.items():
            address = _address(value)
            if address in seen:
                stored[name] = copied(param, value)
            elif address:
                seen.add(address)


def _address(value: Any) -> int:
    """Return where a plain tensor lies, 0 for all that is none or is empty."""
    is_tensor = isinstance(value, Tensor) and is_plain(value)
    return value.data_ptr() if is_tensor and value.layout is torch.strided else 0


def _given(bucket: Bucket, grads: list[Tensor | None]) -> list[Tensor]:
    if len(bucket.positions) == len(grads):
        return grads  # type: ignore[return-value]  # all are present
    return [grads[i] for i in bucket.positions]  # type: ignore[misc]  # those are present


def _fits(bucket: Bucket, grads: list[Tensor | None]) -> bool:
    if isinstance(bucket.engine, Loop):
        return bucket.keeps()
    return bucket.fits(_given(bucket, grads))


def _blank(
    simple: TensorOptimizer, param: Tensor, dtype: torch.dtype, path_of: PathOf
) -> Any:
    if overlaps_itself(param):
        raise ValueError(
            f"{path_of(param)}: its elements share memory (expand(), as_strided()), so "
            "that a step would write one over another; give it memory of its own: "
            "param.data = param.data.clone(memory_format=torch.contiguous_format)"
        )
    tensor = plain(param)
    dtype = tensor.dtype if param.is_complex() else dtype
    if is_plain(param):
        like = torch.empty_like(tensor, dtype=dtype, device="meta")
    else:
        like = torch.zeros_like(tensor, dtype=dtype)
    # The states that a run steps with are made later: these take no draws from it.
    with torch.no_grad(), kept_generators(param.device):
        try:
            state = simple.init(like)
        except Exception:
            # init() may read values, which meta tensors lack: it gets the parameter's.
            state = _initial(simple, tensor.to(like.dtype, copy=True), path_of(param))
    if state is not None and not hasattr(type(state), "__dataclass_fields__"):
        raise TypeError(
            f"{type(simple).__qualname__}.init() returns a {type(state).__name__}, and "
            "a state is a Record (class MyState(burnish.Record): ...) or None"
        )
    return state


def _initial(simple: TensorOptimizer, tensor: Tensor, path: str) -> Any:
    """Return what `init` gives; what it raises says for which parameter."""
    try:
        return simple.init(tensor)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from error
