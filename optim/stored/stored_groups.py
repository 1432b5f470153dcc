"""Stored groups compared with the present ones, and what is restored of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...records.report import LoadReport
from ..bound.bound_state import BoundState
from ..bound.param_groups import (
    ParamGroup,
    is_hyperparameter,
    part_schedules,
    plain_hyperparameters,
    replaces_settings,
    restore_schedule,
    take_values,
)
from ..bound.plain_values import as_held
from ..schedulers.scheduler import Scheduler, are_same, scheduler_of
from ..stepping.step_runner import StepRunner
from .record_types import GroupState


@dataclass(frozen=True, slots=True)
class StoredGroups:
    """What a present group was when it was saved: one stored group, or several."""

    index: int
    """The number of the present group."""
    numbers: tuple[int, ...]
    """The numbers of the stored groups that had its parameters."""
    groups: tuple[GroupState, ...]

    def values(self) -> dict[str, list[Any]]:
        """Return by name the different values that its stored groups have."""
        names = dict.fromkeys(
            name
            for state in self.groups
            for name in state.hyperparameters
            if is_hyperparameter(name)
        )
        follows = [state.schedule is not None for state in self.groups]
        # If a schedule sets the rate, the schedules are compared instead.
        skipped = {"lr"} if all(follows) else set[str]()
        return {
            name: _different(state.hyperparameters.get(name) for state in self.groups)
            for name in names
            if name not in skipped
        }

    def schedules(self) -> list[dict[str, Any] | None]:
        """Return the different schedules of its stored groups."""
        return _different(state.schedule for state in self.groups)

    def conflicts(self) -> list[str]:
        """Report values that no single group can have."""
        groups = _listed(self.numbers)
        messages = [
            f"group {self.index}: its parameters were in the groups {groups} when "
            f"saved, with {name} {_listed(values)}"
            for name, values in self.values().items()
            if len(values) > 1
        ]
        if len(self.schedules()) > 1:
            messages.append(
                f"group {self.index}: its parameters were in the groups {groups} when "
                "saved, whose schedules differ"
            )
        return messages


def stored_groups_of(
    bound: BoundState,
    group_states: list[GroupState],
    matched: Iterable[tuple[Tensor, int]],
) -> list[StoredGroups]:
    """Return the stored groups of each present group that has any.

    ``matched`` has parameters and the stored groups that they were in. A group without
    any stored state is matched by its number, if there are as many groups.
    """
    group_of = bound.group_of_params()
    numbers_of: dict[int, set[int]] = {}
    for tensor, number in matched:
        numbers_of.setdefault(group_of[tensor], set()).add(number)
    if len(group_states) == len(bound.groups):
        numbers_of = {i: {i} for i in range(len(group_states))} | numbers_of
    return [
        StoredGroups(
            index,
            tuple(sorted(numbers)),
            tuple(group_states[n] for n in sorted(numbers)),
        )
        for index, numbers in sorted(numbers_of.items())
    ]


def restore_values(bound: BoundState, sources: list[StoredGroups]) -> None:
    """Set the hyperparameters that determine the state of a group's parameters.

    Raises the optimizer's error for values out of range, which each step would raise.
    """
    for source in sources:
        group = bound.groups[source.index]
        if {state.kind for state in source.groups} == {group["kind"]}:
            values = source.values().items()
            take_values(group, {name: v[0] for name, v in values if len(v) == 1})
            bound.optimizer_of(group)


def settle_groups(
    runner: StepRunner,
    group_states: list[GroupState],
    sources: list[StoredGroups],
    report: LoadReport,
    *,
    is_restoring: bool,
) -> None:
    """Restore or compare the groups' hyperparameters, schedules and engines.

    Raises TypeError and ValueError for an invalid rate, or a schedule unknown here.
    """
    groups = runner.bound.groups
    decided_sources = [
        source
        for source in sources
        if {state.kind for state in source.groups} == {groups[source.index]["kind"]}
    ]
    _part_schedules(groups, decided_sources, is_restoring=is_restoring)
    for source in decided_sources:
        group = groups[source.index]
        is_other = _settle_schedule(source, group, report, is_restoring=is_restoring)
        for name, values in source.values().items():
            now = plain_hyperparameters(group).get(name)
            if values == [now] or (is_other and name == "lr" and not is_restoring):
                continue
            if is_restoring:
                group[name] = as_held(group.get(name), values[0])
            else:
                report.changed.append(
                    f"group {source.index}: {name} is {now}, and was "
                    f"{_listed(values)} when saved"
                )
    report.changed += _left_out(group_states, sources)
    report.changed += _changed_engines(runner, sources)


def _part_schedules(
    groups: list[ParamGroup], sources: list[StoredGroups], *, is_restoring: bool
) -> None:
    """Do not fill a schedule that groups share from two different ones."""
    schedules = {s.index: s.schedules()[0] for s in sources if len(s.schedules()) == 1}
    if not is_restoring:
        # Other schedules are not restored, so that they fill nothing.
        schedules = {
            index: data
            for index, data in schedules.items()
            if data and _is_stored_as(groups[index].get("schedule"), data)
        }
    part_schedules(groups, schedules)


def _is_stored_as(schedule: Scheduler | None, data: dict[str, Any]) -> bool:
    return schedule is not None and are_same(schedule, scheduler_of(data))


def _goes_on(
    group: ParamGroup, data: dict[str, Any] | None, *, is_restoring: bool
) -> bool:
    """Continue the group's schedule from the stored one; False if it is another one.

    A schedule of the same class with other settings was passed to bind, and is kept
    unless everything is restored.
    """
    schedule: Scheduler | None = group.get("schedule")
    if schedule is None or data is None or is_restoring:
        return restore_schedule(group, data)
    return _is_stored_as(schedule, data) and restore_schedule(group, data)


def _settle_schedule(
    source: StoredGroups, group: ParamGroup, report: LoadReport, *, is_restoring: bool
) -> bool:
    """Restore or compare what sets the rate; return whether the stored one differs.

    It differs if only one of both is a schedule, or if their settings differ.
    """
    schedules = source.schedules()
    if len(schedules) > 1:
        report.changed += source.conflicts()[-1:]
        return False
    schedule: Scheduler | None = group.get("schedule")
    is_replaced = is_restoring and replaces_settings(schedule, schedules[0])
    # A restore writes the stored settings into the schedule itself.
    settings_before = f"{schedule}"
    is_other = not _goes_on(group, schedules[0], is_restoring=is_restoring)
    if is_other:
        report.changed.append(_exchange(source, group, is_restoring=is_restoring))
    elif is_replaced:
        report.changed.append(_taken_over(source, settings_before))
    if schedules[0] is not None and (is_restoring or not is_other):
        _restore_rate(source, group)
    return is_other


def _exchange(source: StoredGroups, group: ParamGroup, *, is_restoring: bool) -> str:
    """Restore what sets the rate if only the stored one, or another, is a schedule.

    Returns descriptions of what sets it now, and of what did when it was saved.
    """
    data, rate = source.schedules()[0], source.groups[0].hyperparameters.get("lr")
    now = group.get("schedule") or group["lr"]
    if not is_restoring:
        before = rate if data is None else _schedule_text(data)
        return f"group {source.index}: lr is {now}, and was {before} when saved"
    group["schedule"] = None if data is None else scheduler_of(data)
    return _taken_over(source, now)


def _taken_over(source: StoredGroups, replaced: object) -> str:
    """Report that the saved rate, or schedule, replaces that of `bind`."""
    data, rate = source.schedules()[0], source.groups[0].hyperparameters.get("lr")
    before = rate if data is None else _schedule_text(data)
    return (
        f"group {source.index}: lr was {before} when saved, which is restored and "
        f"replaces {replaced}"
    )


def _restore_rate(source: StoredGroups, group: ParamGroup) -> None:
    """Show the rate of the last step again; the next one is set by the schedule."""
    rate = source.groups[0].hyperparameters.get("lr")
    if rate is not None:
        group["lr"] = as_held(group["lr"], rate)


def _schedule_text(data: Mapping[str, Any]) -> str:
    # A schedule whose class is not defined here is reported all the same.
    fields = (f"{name}={value}" for name, value in data.items() if name != "kind")
    return f"{data.get('kind')}({', '.join(fields)})"


def _left_out(group_states: list[GroupState], sources: list[StoredGroups]) -> list[str]:
    """Report unused stored groups: none of their parameters was stepped."""
    origins = {number for source in sources for number in source.numbers}
    return [
        (
            f"the stored group {number} ({state.kind}, lr "
            f"{state.hyperparameters.get('lr')}) has no state for any parameter "
            "of this optimizer; its hyperparameters are not restored"
        )
        for number, state in enumerate(group_states)
        if number not in origins
    ]


def _changed_engines(runner: StepRunner, sources: list[StoredGroups]) -> list[str]:
    current, messages = runner.engine_names(), list[str]()
    for source in sources:
        names = {n for state in source.groups for n in state.engine.split("+") if n}
        before, engine = "+".join(sorted(names)), current[source.index]
        if engine and before and engine != before:
            messages.append(
                f"group {source.index}: saved on the engine {before!r}, continues on "
                f"{engine!r}; the last digits may differ from an uninterrupted run's"
            )
    return messages


def _different(values: Iterable[object]) -> list[Any]:
    """Return the values without those that were there before."""
    different: list[Any] = []
    for value in values:
        if value not in different:
            different.append(value)
    return different


def _listed(values: Iterable[object]) -> str:
    return " and ".join(map(str, values))
