"""Stored groups beside those of now: what each takes over of their hyperparameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..bound.param_groups import plain_hyperparameters, restore_schedule
from ..bound.plain_values import as_held
from ..stepping.report import engines

if TYPE_CHECKING:
    from ...records.report import LoadReport
    from ..adaptor import OptimizerAdaptor
    from .optimizer_record import GroupState


@dataclass(frozen=True, slots=True)
class Source:
    """What a group of now was when it was saved: one stored group, or several."""

    index: int
    """Of the group of now."""
    numbers: tuple[int, ...]
    """Of the stored groups that had its parameters."""
    stored: "tuple[GroupState, ...]"

    def values(self) -> dict[str, list[Any]]:
        """Return by name the different values that its stored groups have."""
        names = dict.fromkeys(n for own in self.stored for n in own.hyperparameters)
        follows = [own.schedule is not None for own in self.stored]
        # Where a schedule sets the rate, the schedules are compared.
        skipped = {"lr"} if all(follows) else set[str]()
        return {
            name: _different(own.hyperparameters.get(name) for own in self.stored)
            for name in names
            if name not in skipped
        }

    def schedules(self) -> list[dict[str, Any] | None]:
        """Return the different schedules of its stored groups."""
        return _different(own.schedule for own in self.stored)

    def conflicts(self) -> list[str]:
        """Say which values no single group can have."""
        groups = _listed(self.numbers)
        told = [
            f"group {self.index}: its parameters were in the groups {groups} when "
            f"saved, with {name} {_listed(values)}"
            for name, values in self.values().items()
            if len(values) > 1
        ]
        if len(self.schedules()) > 1:
            told.append(
                f"group {self.index}: its parameters were in the groups {groups} when "
                "saved, whose schedules differ"
            )
        return told


def sources_of(
    adaptor: "OptimizerAdaptor",
    stored: "list[GroupState]",
    matched: Iterable[tuple[Tensor, int]],
) -> list[Source]:
    """Return the source of each group that has one.

    ``matched`` has parameters and the stored groups that they were in. A group of
    which no parameter has a state is the one of its number, if there are as many.
    """
    places = {p: i for i, g in enumerate(adaptor.param_groups) for p in g["params"]}
    found: dict[int, set[int]] = {}
    for tensor, number in matched:
        found.setdefault(places[tensor], set()).add(number)
    if len(stored) == len(adaptor.param_groups):
        found = {i: {i} for i in range(len(stored))} | found
    return [
        Source(index, tuple(sorted(numbers)), tuple(stored[n] for n in sorted(numbers)))
        for index, numbers in sorted(found.items())
    ]


def settle_groups(
    adaptor: "OptimizerAdaptor",
    stored: "list[GroupState]",
    sources: list[Source],
    hyperparameters: str,
    report: "LoadReport",
) -> None:
    """Restore or compare the groups' hyperparameters, schedules and engines."""
    for source in sources:
        group = adaptor.param_groups[source.index]
        if {own.kind for own in source.stored} != {group["kind"]}:
            continue
        schedules = source.schedules()
        if len(schedules) > 1:
            report.changed += source.conflicts()[-1:]
        elif schedules[0] is not None:
            restore_schedule(group, schedules[0])
        for name, values in source.values().items():
            now = plain_hyperparameters(group).get(name)
            if values == [now]:
                continue
            if hyperparameters == "restore":
                group[name] = as_held(group.get(name), values[0])
            else:
                report.changed.append(
                    f"group {source.index}: {name} is {now}, and was "
                    f"{_listed(values)} when saved"
                )
    report.changed += _left_out(stored, sources)
    report.changed += _other_engines(adaptor, sources)


def _left_out(stored: "list[GroupState]", sources: list[Source]) -> list[str]:
    """Say which stored groups nothing was taken from: none of theirs was stepped."""
    used = {number for source in sources for number in source.numbers}
    return [
        f"the stored group {number} ({own.kind}, lr "
        f"{own.hyperparameters.get('lr')}) has no state of a parameter that is here; "
        "its hyperparameters are left out"
        for number, own in enumerate(stored)
        if number not in used
    ]


def _other_engines(adaptor: "OptimizerAdaptor", sources: list[Source]) -> list[str]:
    now, told = engines(adaptor), list[str]()
    for source in sources:
        names = {n for own in source.stored for n in own.engine.split("+") if n}
        before, used = "+".join(sorted(names)), now[source.index]
        if used and before and used != before:
            told.append(
                f"group {source.index}: saved on the engine {before!r}, goes on on "
                f"{used!r}; the last digits may differ from an uninterrupted run's"
            )
    return told


def _different(values: Iterable[Any]) -> list[Any]:
    """Return the values without those that were there before."""
    different: list[Any] = []
    for value in values:
        if value not in different:
            different.append(value)
    return different


def _listed(values: Iterable[Any]) -> str:
    return " and ".join(map(str, values))
