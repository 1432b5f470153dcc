"""What each group of an optimizer runs on, and why."""

from dataclasses import dataclass

from ..engines.tracing.extended_state import is_extended
from .step_runner import StepRunner


@dataclass(frozen=True, slots=True)
class EngineRow:
    """Parameters of one group that one engine steps together."""

    group: int
    optimizer: str
    n_params: int
    engine: str
    """One of: compiled, torch_fused, blocks, foreach, stacked, loop."""
    why: str
    n_renewed: int = 0
    """How many elements of the group's master weights began anew, since the weight
    was no longer their rounding: it was loaded, averaged or written by hand."""

    def __str__(self) -> str:
        text = (
            f"group {self.group} ({self.optimizer}): {self.n_params} parameters on "
            f"{self.engine}: {self.why}"
        )
        if not self.n_renewed:
            return text
        return f"{text}; {self.n_renewed} elements of master weights began anew"


class EngineReport(tuple[EngineRow, ...]):
    """The rows; its repr is one line each."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "nothing to step"


def report_of(runner: StepRunner) -> EngineReport:
    """Return what each group ran on at the last step, or would run on at the first."""
    rows: list[EngineRow] = []
    for index, plan in enumerate(runner.plans()):
        name = str(runner.bound.groups[index]["kind"])
        for bucket in plan.buckets:
            count = len(bucket.params)
            renewals = (
                bucket.renewals if is_extended(bucket.layout.state_type) else None
            )
            rows.append(
                EngineRow(
                    index,
                    name,
                    count,
                    bucket.engine.name,
                    bucket.why,
                    0 if renewals is None else renewals.total(),
                )
            )
    return EngineReport(rows)


def engine_names(runner: StepRunner) -> list[str]:
    """Return by group the engines in use, joined where there are several."""
    names: list[set[str]] = [set() for _ in runner.bound.groups]
    for row in report_of(runner):
        names[row.group].add(row.engine)
    return ["+".join(sorted(group_names)) for group_names in names]
