"""The engine of each group of an optimizer, and the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...config.html import FoldedHtml
from ...config.short_text import quantity
from ..engines.plan import Plan
from ..engines.tracing.extended_state import is_extended


@dataclass(frozen=True, slots=True)
class EngineRow:
    """Parameters of one group that one engine steps together."""

    group: int
    optimizer: str
    n_params: int
    engine: str
    """One of: compiled, torch_fused, blocks, foreach, stacked, gathered, loop."""
    why: str
    n_renewed: int = 0
    """The number of elements of the group's master weights initialized again.

    That happens when the weight is no longer their rounding, since it was loaded,
    averaged or changed by hand.
    """

    def __str__(self) -> str:
        text = (
            f"group {self.group} ({self.optimizer}): "
            f"{quantity(self.n_params, 'parameter')} on "
            f"{self.engine}: {self.why}"
        )
        if not self.n_renewed:
            return text
        elements = quantity(self.n_renewed, "element")
        return f"{text}; {elements} of master weights were rebuilt from the weights"


class EngineReport(tuple[EngineRow, ...], FoldedHtml):
    """The rows; its repr has one line for each."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "nothing to step"


def report_of_plans(
    groups: Sequence[Mapping[str, Any]], plans: Sequence[Plan]
) -> EngineReport:
    """Return the engines of each of ``groups``, by its plan."""
    rows: list[EngineRow] = []
    for index, (group, plan) in enumerate(zip(groups, plans, strict=True)):
        name = str(group["kind"])
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
