"""Stepper: from gradients to jobs; it creates missing states and plans."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import is_
from typing import Any

import torch
from torch import Tensor

from ...config.process.interrupts import leaving_nothing_open
from ...config.process.user_warning import warn_user
from ...config.short_text import first_names
from ...records.tensors.shares import is_sharded
from ..bound.bound_state import BoundState
from ..bound.initial_states import Fields
from ..bound.state_check import check_values
from ..engines.bucket import Bucket, Engine, Job, Unfit
from ..engines.gathered import Gathered
from ..engines.loop import Loop
from ..engines.memory.entangled import Entanglement
from ..engines.plan import BucketPlanner, Plan, Slot, knows_shares
from ..engines.portions import StepFailed
from ..engines.renewals import Renewals
from ..engines.shares import OnShares
from ..engines.tracing.extended_state import KEPT
from ..engines.tracing.generators import watched_generators
from ..engines.tracing.recording import ImpureStepError, NotElementwise
from ..engines.tracing.state_fields import fields_of_state, tensor_names
from ..engines.tracing.step_call import StepCall, StepFunctions

Grads = list[Tensor | None]


@dataclass(frozen=True, slots=True)
class _Sender:
    """Whether the step of these parameters sends messages for each of them."""

    simple: StepFunctions
    params: list[Tensor]
    sends_messages: bool

    def holds(self, call: StepCall, params: list[Tensor]) -> bool:
        """Return whether the answer is still that of ``call`` and ``params``."""
        is_alike = call.simple is self.simple and len(params) == len(self.params)
        return is_alike and all(map(is_, params, self.params))


class Stepper:
    """Prepares the steps of one optimizer's groups; a job writes what was prepared."""

    def __init__(self, bound: BoundState, fused: bool | None) -> None:
        self.bound = bound
        self.planner = BucketPlanner(fused)
        self.entanglement = Entanglement()
        self.plans: dict[int, Plan] = {}
        self.renewals: dict[int, Renewals] = {}
        """The number of masters initialized again, by group."""
        self._entanglements: dict[int, Entanglement] = {}
        self._senders: dict[int, _Sender] = {}

    def jobs(
        self, index: int, grads: Grads, call: StepCall, settle: Callable[[], None]
    ) -> list[Job]:
        """Return a job that writes the step of group ``index``; create missing states.

        ``settle`` is called before values are read, and not only by the jobs. Raises
        StepFailed; parameters and states are as they were, or as ``settle`` left them.
        """
        plan = self._plan(index, grads, call, settle)
        try:
            return [self._job(bucket, grads, call) for bucket in plan.buckets]
        except (Unfit, NotElementwise):
            # A resumed run would plan this step again, so this one does.
            del self.plans[index]
        plan = self._plan(index, grads, call, settle)
        jobs: list[Job] = []
        for bucket in plan.buckets:
            try:
                jobs.append(self._job(bucket, grads, call))
            except (Unfit, NotElementwise):
                # The loop handles any call as it is written; it fails only as the step
                # itself does.
                jobs.append(self._job(bucket, grads, call, Loop()))
        return jobs

    def _job(
        self, bucket: Bucket, grads: Grads, call: StepCall, engine: Engine | None = None
    ) -> Job:
        if bucket.compute is not None:
            call = call.computed_in(bucket.compute)
        try:
            return (engine or bucket.engine).prepare(
                bucket, _grads_of(bucket, grads), call
            )
        except ImpureStepError as error:
            raise StepFailed(bucket.params[0]) from error

    def initialize(self, index: int, grads: Grads, call: StepCall) -> list[Any]:
        """Create missing states; return the initial form of each."""
        params: list[Tensor] = self.bound.groups[index]["params"]
        states, initial_states = self.bound.states, self.bound.initial_states
        blanks = [initial_states.blank(call.simple, p) for p in params]
        is_present = [grad is not None for grad in grads]
        stepped = [p for p, present in zip(params, is_present, strict=True) if present]
        lacking = initial_states.lacking(
            stepped,
            [b for b, present in zip(blanks, is_present, strict=True) if present],
            states,
        )
        if index in self.plans:
            self._warn_of_emptied(index, [p for p in lacking if p in states])
        initial_states.make(index, params, lacking, states, call.simple)
        initial_states.complete(index, params, stepped, states)
        return blanks

    @leaving_nothing_open
    def plan_of(self, index: int, call: StepCall) -> Plan:
        """Return the plan of the last step, or that of an upcoming first one."""
        plan = self.plans.get(index)
        if plan is not None and plan.buckets:
            return plan
        return self._dry_plan(index, call)

    @leaving_nothing_open
    def sends_messages(self, index: int, call: StepCall) -> bool:
        """Return whether each parameter's step waits for the other processes.

        All processes give the same answer, whichever gradients each has.
        """
        params: list[Tensor] = self.bound.groups[index]["params"]
        known = self._senders.get(index)
        if known is None or not known.holds(call, params):
            known = _Sender(call.simple, [*params], self._sends(index, call))
            self._senders[index] = known
        return known.sends_messages

    def _sends(self, index: int, call: StepCall) -> bool:
        params: list[Tensor] = self.bound.groups[index]["params"]
        if not any(map(is_sharded, params)):
            return False
        buckets = self._dry_plan(index, call).buckets
        is_gathered = any(isinstance(b.engine, Gathered) for b in buckets)
        return is_gathered or knows_shares(call)

    def _dry_plan(self, index: int, call: StepCall) -> Plan:
        """Return the plan of a step in which all parameters have gradients."""
        params: list[Tensor] = self.bound.groups[index]["params"]
        states = self.bound.states
        blanks = [self.bound.initial_states.blank(call.simple, p) for p in params]
        fields = [
            _completed(states.get(param, {}), _filled_fields(blank))
            for param, blank in zip(params, blanks, strict=True)
        ]
        # No backward pass has run: a gradient in the form of its parameter is likely.
        grads: Grads = [p.detach() for p in params]
        slots = self._slots(params, grads, fields, blanks)
        with watched_generators(torch.device("cpu")):
            return self.planner.plan(slots, call, is_dry=True)

    def _plan(
        self, index: int, grads: Grads, call: StepCall, settle: Callable[[], None]
    ) -> Plan:
        params: list[Tensor] = self.bound.groups[index]["params"]
        missing = [g is None for g in grads]
        fields = self._fields(params)
        plan = self.plans.get(index)
        # Cheap checks first: this runs at each step, for all parameters of the group.
        if (
            plan is not None
            and plan.holds(params, missing, fields)
            and self._has_fields(plan, call.simple)
            and plan.serves(call, self.planner.fused)
            and all([_fits(bucket, grads) for bucket in plan.buckets])  # noqa: C419  # a list is faster
            and not (len(plan.buckets) > 1 and self._have_met(index, params, grads))
        ):
            if plan.computes_ahead:
                settle()
            return plan
        # New states and plans depend on values, which earlier groups may still write.
        settle()
        plan = self.plans[index] = self._plan_anew(index, params, grads, call)
        return plan

    def _fields(self, params: list[Tensor]) -> list[Fields | None]:
        states = self.bound.states
        # Hashing a tensor calls Python. Most optimizers have one group, with its states
        # in the order of their parameters.
        if len(states) == len(params) and all(map(is_, states, params)):
            return list(states.values())
        return list(map(states.get, params))

    @leaving_nothing_open
    def _plan_anew(
        self, index: int, params: list[Tensor], grads: Grads, call: StepCall
    ) -> Plan:
        for param, grad in zip(params, grads, strict=True):
            if grad is not None:
                check_values(self.bound.params.path_of(param), param)
        blanks = self.initialize(index, grads, call)
        fields = [self.bound.states.get(p, {}) for p in params]
        slots = self._slots(params, grads, fields, blanks)
        # Planning runs the step on copies, and its draws are not those of the run:
        # whether a step is planned again must not change the numbers of the run.
        with watched_generators(params[0].device if params else torch.device("cpu")):
            plan = self.planner.plan(slots, call)
        for bucket in plan.buckets:
            bucket.renewals = self.renewals.setdefault(index, Renewals())
        return plan

    def _slots(
        self,
        params: list[Tensor],
        grads: Grads,
        fields: list[Fields],
        blanks: list[Any],
    ) -> list[Slot]:
        compute_dtype = self.bound.initial_states.compute_dtype
        return [
            Slot(
                param,
                grad,
                state,
                type(blank) if blank is not None else None,
                compute_dtype(param, state, blank),
            )
            for param, grad, state, blank in zip(
                params, grads, fields, blanks, strict=True
            )
        ]

    def _have_met(self, index: int, params: list[Tensor], grads: Grads) -> bool:
        """Return whether parameters of different buckets now share memory."""
        stepped = [p for p, grad in zip(params, grads, strict=True) if grad is not None]
        present = [grad for grad in grads if grad is not None]
        # Each bucket checks its own memory; memory shared between two of them is seen
        # only here.
        if index not in self._entanglements:
            self._entanglements[index] = Entanglement()
        return self._entanglements[index].is_there(stepped, present)

    def _has_fields(self, plan: Plan, simple: StepFunctions) -> bool:
        """Return whether states have what a step needs after changed settings."""
        if simple is plan.step.simple:
            return True
        for bucket in plan.buckets:
            blank = self.bound.initial_states.blank(simple, bucket.params[0])
            # A plan of a step without state uses none, whatever is stored.
            if blank is not None and type(blank) is not bucket.layout.state_type:
                return False
            if not tensor_names(blank) <= bucket.states[0].keys():
                return False
        return True

    def _warn_of_emptied(self, index: int, params: list[Tensor]) -> None:
        """Warn of states whose fields were removed one by one, or with clear()."""
        plan = self.plans[index]
        states, path_of = self.bound.states, self.bound.params.path_of
        emptied = [path_of(p) for p in params if plan.has_filled(states[p])]
        if emptied:
            warn_user(
                f"{first_names(emptied, 4)}: its state in optim.state was emptied, so "
                "it starts from scratch, as in torch; `del optim.state[param]` does "
                "so without a warning",
                RuntimeWarning,
            )


def _filled_fields(blank: Any) -> Fields:
    fields = fields_of_state(blank).items()
    return {name: value for name, value in fields if value is not None}


def _completed(fields: Fields, initial_fields: Fields) -> Fields:
    """Return the state that a step will use; missing parts are initialized."""
    if not fields:
        return initial_fields
    lacking = {k: v for k, v in initial_fields.items() if k in KEPT and k not in fields}
    return {**fields, **lacking} if lacking else fields


def _grads_of(bucket: Bucket, grads: Grads) -> list[Tensor]:
    if len(bucket.positions) == len(grads):
        return grads  # type: ignore[return-value]  # all are present
    return [grads[i] for i in bucket.positions]  # type: ignore[misc]  # those are present


def _fits(bucket: Bucket, grads: Grads) -> bool:
    if isinstance(bucket.engine, Loop | Gathered):
        return bucket.keeps()
    if isinstance(bucket.engine, OnShares):
        return bucket.engine.fits(bucket, _grads_of(bucket, grads))
    return bucket.fits(_grads_of(bucket, grads))
