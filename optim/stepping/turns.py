"""Turns: the jobs of a step, and when those of earlier groups have to run first."""

from collections.abc import Callable

from ..bound.bound_state import GroupGrads
from ..engines.bucket import Job
from ..engines.portions import InTurn, StepFailed


class Turns:
    """The jobs that were prepared and not run yet, in the order of their groups.

    All of a step is prepared before any of it is written, as far as no group reads
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
        """Of how many groups all jobs were run."""

    def add(self, jobs: list[Job]) -> None:
        """Take over the jobs of the next group."""
        self._jobs.append(jobs)

    def settle(self) -> None:
        """Run what is pending if any groups share memory: values are read next."""
        if len(self._jobs) == self.n_run:
            return
        # One answer serves the step: its gradients and parameters do not move
        # meanwhile.
        if self._are_entangled is None:
            self._are_entangled = self._share_memory(self._grads)
        if self._are_entangled:
            self.run()

    def run(self) -> None:
        """Run what is pending, first what may still raise. Raises StepFailed."""
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
