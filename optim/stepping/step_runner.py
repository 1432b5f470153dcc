"""StepRunner: one step of an optimizer, from gradients to written parameters."""

from collections.abc import Callable, Mapping
from itertools import chain
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from ...config.short_text import first_names, quantity
from ...records.processes.messages import is_any, is_running, united
from ...records.tensors.shares import groups_of, own_share
from ...records.tensors.torch_internals import set_grad_enabled
from ...records.writing.lazy_snapshot import settle_snapshots
from ..bound.bound_params import warn_apart
from ..bound.bound_state import BoundState, GroupGrads
from ..engines.bucket import Job
from ..engines.plan import Plan
from ..engines.portions import InTurn, StepFailed
from ..errors import MissingGradientError, NonFiniteGradientError
from .missing_gradients import missing_on_some
from .report import EngineReport, report_of_plans
from .stepper import Stepper


class StepRunner:
    """Steps a bound optimizer: all is prepared, which may raise, then written."""

    def __init__(self, bound: BoundState, fused: bool | None) -> None:
        self.bound = bound
        self.stepper = Stepper(bound, fused)

    def advance(self, grads: Mapping[Tensor, Tensor] | None, lr: float | None) -> None:
        """Step with ``grads``, or with ``.grad``; at ``lr``, or the groups' own rates.

        Raises before anything is changed: ImpureStepError, NonFiniteGradientError,
        MissingGradientError.
        """
        bound = self.bound
        if not bound.is_training:
            raise RuntimeError(
                "the optimizer is in evaluation mode; call optim.train() before "
                "optim.step()"
            )
        settle_snapshots()
        # torch.no_grad() costs a tenth of a small step.
        was_enabled = torch.is_grad_enabled()
        set_grad_enabled(False)
        try:
            bound.follow_module()
            if grads is None:
                by_group = [[p.grad for p in g["params"]] for g in bound.groups]
            else:
                by_group = [[grads.get(p) for p in g["params"]] for g in bound.groups]
            if bound.params.is_copy:
                self._warn_if_apart(by_group)
            self._write(by_group, lr)
        except StepFailed as failure:
            raise self._explained(failure) from None
        finally:
            set_grad_enabled(was_enabled)

    def plans(self) -> list[Plan]:
        """Return by group how it was stepped last, or would be first."""
        none: GroupGrads = [[] for _ in self.bound.groups]
        # Whether a clip scales or limits does not depend on the gradients.
        calls = [
            self.bound.call_of(index, None, scale, limit)
            for index, (_, scale, limit) in enumerate(self.bound.clipped(none))
        ]
        return [self.stepper.plan_of(index, call) for index, call in enumerate(calls)]

    def report(self) -> EngineReport:
        """Return the engine of each group at the last step, or at the first one."""
        return report_of_plans(self.bound.groups, self.plans())

    def engine_names(self) -> list[str]:
        """Return by group the engines in use, joined if there are several.

        The loop is left out if a gradient alone is the reason: the next one may differ,
        and before the first one it is unknown.
        """
        names = (
            {bucket.engine.name for bucket in plan.buckets if not bucket.is_passing}
            for plan in self.plans()
        )
        return ["+".join(sorted(group_names)) for group_names in names]

    def _warn_if_apart(self, grads: GroupGrads) -> None:
        """Warn, at its first step, of what the copy of an optimizer lacks."""
        params = self.bound.params
        params.is_copy = False
        has_gradients = any(grad is not None for grad in chain.from_iterable(grads))
        warn_apart(params, has_gradients=has_gradients)

    def _write(self, grads: GroupGrads, lr: float | None) -> None:
        """Prepare every group, which may raise, then write them."""
        bound = self.bound
        if bound.nonfinite != "pass" and not self._are_finite(grads):
            return
        if lr is None and self._is_probe(grads):
            self._initialize(grads)
            return
        self._check_missing(grads)
        turns = Turns(self._share_memory, grads)
        try:
            clipped_groups = bound.clipped(grads)
            # All rates first: an invalid one is refused before anything is written.
            rates = [
                bound.next_rate(index) if lr is None else lr
                for index in range(len(clipped_groups))
            ]
            for index, (clipped, scale, limit) in enumerate(clipped_groups):
                call = bound.call_of(index, rates[index], scale, limit)
                turns.add(self.stepper.jobs(index, clipped, call, turns.settle))
            turns.run()
        except StepFailed as failure:
            failure.moved = self._stepped(turns.n_run, grads) + failure.moved
            raise
        # A learning rate passed by the caller does not advance the schedules.
        if lr is None:
            bound.advance_schedules(rates)

    def _check_missing(self, grads: GroupGrads) -> None:
        """Raise on all processes if a step would wait forever for some of them."""
        if not is_running():
            return
        pairs: list[tuple[Tensor, Tensor | None]] = []
        for index, group_grads in enumerate(grads):
            call = self.bound.call_of(index, 0.0, None, None)
            if self.stepper.sends_messages(index, call):
                params = self.bound.groups[index]["params"]
                pairs += zip(params, group_grads, strict=True)
        are_missing, params = missing_on_some(pairs)
        if are_missing:
            raise MissingGradientError(list(map(self.bound.params.path_of, params)))

    def _initialize(self, grads: GroupGrads) -> None:
        """Create the states of parameters with gradients, as the probing tool wants."""
        for index, group_grads in enumerate(grads):
            call = self.bound.call_of(index, 0.0, None, None)
            self.stepper.initialize(index, group_grads, call)

    def _stepped(self, n_groups: int, grads: GroupGrads) -> list[Tensor]:
        """Return the tensors that the steps of the first groups change."""
        return [param for param, _ in self._params_with_grads(grads[:n_groups])]

    def _params_with_grads(self, grads: GroupGrads) -> list[tuple[Tensor, Tensor]]:
        """Return what steps with ``grads``, those of all groups or of the first."""
        groups = zip(self.bound.groups[: len(grads)], grads, strict=True)
        return [
            (param, grad)
            for group, group_grads in groups
            for param, grad in zip(group["params"], group_grads, strict=True)
            if grad is not None
        ]

    def _share_memory(self, grads: GroupGrads) -> bool:
        """Return whether a parameter shares memory with another, or with a gradient."""
        pairs = self._params_with_grads(grads)
        return self.stepper.entanglement.is_there(
            [param for param, _ in pairs], [grad for _, grad in pairs]
        )

    def _explained(self, failure: StepFailed) -> BaseException:
        """Return the error of the author's step, with a note on its parameter."""
        path_of, error = self.bound.params.path_of, failure.__cause__ or failure
        index = next(
            i
            for i, group in enumerate(self.bound.groups)
            if any(p is failure.param for p in group["params"])
        )
        paths = [path_of(param) for param in failure.moved]
        progress = "nothing was changed"
        if paths:
            progress = (
                f"{quantity(len(paths), 'parameter')} had been stepped before it: "
            )
            progress += first_names(paths, 8)
        error.add_note(
            f"in the step of {self.bound.groups[index]['kind']} for "
            f"{path_of(failure.param)}; {progress}"
        )
        return error.with_traceback(_from_author(error.__traceback__))

    def _is_probe(self, grads: GroupGrads) -> bool:
        """Return whether a tool only wants the states to be created.

        For that torch.distributed.checkpoint makes a first step with zero gradients and
        a learning rate of zero, and expects the weights not to change. It is not a step
        of the run, so neither counters nor schedules advance.
        """
        bound = self.bound
        if bound.states or any(group["lr"] != 0.0 for group in bound.groups):
            return False
        present = [grad for _, grad in self._params_with_grads(grads)]
        groups = self._process_groups()
        if not present and not groups:
            return False
        has_values = any(bool(own_share(g).any()) for g in present)
        return not is_any(has_values, groups=groups)

    def _process_groups(self) -> list[Any]:
        """Return the process groups that have shares of what is trained.

        By parameters, since a gradient may be missing on some of them.
        """
        return groups_of(
            param
            for group in self.bound.groups
            for param in group["params"]
            if param.requires_grad
        )

    def _are_finite(self, grads: GroupGrads) -> bool:
        """Return whether all gradients are finite; raise if the policy is an error."""
        pairs = self._params_with_grads(grads)
        groups = self._process_groups()
        precision = self.bound.precision
        infinite = [
            param
            for param, grad in pairs
            if not is_finite(grad, precision.state_dtype_of(param))
        ]
        # All processes have to decide alike, or one steps and another does not.
        if not is_any(bool(infinite), groups=groups):
            return True
        if self.bound.nonfinite == "error":
            paths = list(map(self.bound.params.path_of, infinite))
            all_paths = united(paths, groups=groups) if groups else paths
            raise NonFiniteGradientError(all_paths)
        return False


def _from_author(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without our frames above the author's step."""
    place = traceback
    while place is not None:
        if not str(place.tb_frame.f_globals.get("__name__")).startswith(_OURS):
            return place
        place = place.tb_next
    return traceback


_OURS = __name__.rsplit(".", 2)[0]


def is_finite(grad: Tensor, state_dtype: torch.dtype) -> bool:
    """Return whether this process's share of a gradient has no infinities or NaN.

    Nor any in the dtype of its state, which may be narrower.
    """
    grad = own_share(grad)
    values = grad.coalesce().values() if grad.is_sparse else grad
    if grad.dtype.is_floating_point and grad.dtype.itemsize > state_dtype.itemsize:
        values = values.to(state_dtype)
    return bool(torch.isfinite(values).all())


class Turns:
    """The jobs that were prepared and not run yet, in the order of their groups.

    All of a step is prepared before any of it is written, as long as no group reads
    what another one writes.
    """

    __slots__ = ("_are_entangled", "_grads", "_jobs", "_share_memory", "n_run")

    def __init__(
        self, share_memory: Callable[[GroupGrads], bool], grads: GroupGrads
    ) -> None:
        self._share_memory, self._grads = share_memory, grads
        self._are_entangled: bool | None = None
        self._jobs: list[list[Job]] = []
        self.n_run = 0
        """The number of groups whose jobs were all run."""

    def add(self, jobs: list[Job]) -> None:
        """Add the jobs of the next group."""
        self._jobs.append(jobs)

    def settle(self) -> None:
        """Run what is pending if any groups share memory: values are read next."""
        if len(self._jobs) == self.n_run:
            return
        # One answer is valid for the whole step, in which no gradient or parameter
        # moves.
        if self._are_entangled is None:
            self._are_entangled = self._share_memory(self._grads)
        if self._are_entangled:
            self.run()

    def run(self) -> None:
        """Run what is pending, first jobs that may still raise. Raises StepFailed."""
        jobs = [job for group_jobs in self._jobs[self.n_run :] for job in group_jobs]
        if len(jobs) > 1:
            # A failure of the first leaves everything as it was before the step.
            jobs.sort(key=lambda job: not isinstance(job, InTurn))
        try:
            for job in jobs:
                job()
        except StepFailed as failure:
            failure.moved = [p for j in jobs if isinstance(j, InTurn) for p in j.moved]
            raise
        self.n_run = len(self._jobs)
