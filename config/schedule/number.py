"""Numbers in a configuration that know the schedule they follow."""

import copy
import math
from collections import deque
from collections.abc import (
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
)
from typing import Any, TypeVar

from ..classes.fields import is_model, is_struct_value, stored_fields
from ..tree import is_mapping_value, with_item
from .schedule import Schedule

C = TypeVar("C")

_N_ULPS = 64
"""Number of last digits that a schedule's arithmetic may get wrong, powers included."""


class ScheduledFloat(float):
    """A float that follows a schedule; it equals the schedule's current value."""

    schedule: Schedule

    def __eq__(self, value: object) -> bool:
        return _equal(self, value) and super().__eq__(value)

    def __ne__(self, value: object) -> bool:
        return not self == value

    __hash__ = float.__hash__


class ScheduledInt(int):
    """An int that follows a schedule, truncated as by `as_kind`."""

    schedule: Schedule

    def __eq__(self, value: object) -> bool:
        return _equal(self, value) and super().__eq__(value)

    def __ne__(self, value: object) -> bool:
        return not self == value

    __hash__ = int.__hash__


def scheduled(schedule: Schedule, kind: type, value: float) -> Any:
    """Return ``value`` as an int or a float (``kind``) that knows its schedule."""
    now = as_kind(schedule, kind, value)
    number: Any = ScheduledInt(now) if kind is int else ScheduledFloat(now)
    number.schedule = schedule
    return number


def as_kind(schedule: Schedule, kind: type, value: float) -> int | float:
    """Return a value of ``schedule`` as a float, or as an int truncated towards zero.

    A value that misses an integer only by a rounding error is that integer: 29 % of the
    way from 0 to 100 is 28.999999999999996, and means 29.
    """
    if kind is not int:
        return float(value)
    nearest = round(value)
    largest = max(abs(point) for _, point in schedule.points)
    is_rounded = abs(value - nearest) <= _N_ULPS * math.ulp(largest)
    return nearest if is_rounded else int(value)


def schedule_of(value: object) -> Schedule | None:
    """Return the schedule that ``value`` follows, None for a constant."""
    if isinstance(value, ScheduledFloat | ScheduledInt):
        return value.schedule
    return None


def schedule_text(value: object) -> str | None:
    """Return the text of a schedule or a scheduled number, None for other values."""
    schedule = value if isinstance(value, Schedule) else schedule_of(value)
    return None if schedule is None else schedule.text


def start_of(schedule: Schedule) -> float:
    """Return the value before there is a state: the one at x = 0."""
    return schedule(0)


def at(config: C, state: object) -> C:
    """Return ``config`` with every scheduled number at its value for ``state``.

    ``config`` is not changed, and is returned itself if nothing is scheduled. Raises
    ValueError if ``state`` lacks a schedule's key.
    """

    def advance(value: object) -> Any:
        schedule = schedule_of(value)
        if schedule is None:
            return value
        kind = int if isinstance(value, int) else float
        return scheduled(schedule, kind, schedule.at(state))

    return replace_numbers(config, advance)  # type: ignore[no-any-return]  # of one type


def replace_numbers(value: object, change: Callable[[object], object]) -> Any:
    """Return a copy of ``value`` with ``change`` applied to each scheduled number.

    Parts without such a number are shared with the copy. Nothing is validated again.
    """
    if isinstance(value, ScheduledFloat | ScheduledInt):
        return change(value)
    if is_struct_value(value):
        return _replace_fields(value, change)
    if is_mapping_value(value):
        return _replace_items(value, value.items(), change)
    if isinstance(value, list | tuple | deque):
        return _replace_items(value, enumerate(value), change)
    return value


def _replace_items(
    container: Any,
    items: Iterable[tuple[object, object]],
    change: Callable[[object], object],
) -> Any:
    changed = [
        (key, changed_item)
        for key, item in items
        if (changed_item := replace_numbers(item, change)) is not item
    ]
    if not changed:
        return container
    if isinstance(container, MutableMapping | MutableSequence):
        # A copy keeps more than the items: a default factory, the length of a deque.
        container = copy.copy(container)
    elif is_mapping_value(container):
        container = dict(container)
    for key, item in changed:
        container = with_item(container, key, item)
    return container


def _replace_fields(value: object, change: Callable[[object], object]) -> object:
    changed: dict[str, object] = {}
    for field in stored_fields(type(value)):
        current_value = getattr(value, field.attribute)
        changed_value = replace_numbers(current_value, change)
        if changed_value is not current_value:
            changed[field.attribute] = changed_value
    return with_attributes(value, changed) if changed else value


def with_attributes(value: Any, changed: Mapping[str, Any]) -> object:
    """Return a copy of a struct with other values, frozen or not, not validated."""
    if is_model(type(value)):
        return value.model_copy(update=changed)
    changed_copy = copy.copy(value)
    for name, attribute_value in changed.items():
        object.__setattr__(changed_copy, name, attribute_value)
    return changed_copy


def _equal(number: ScheduledFloat | ScheduledInt, value: object) -> bool:
    """Return whether ``value`` follows the same schedule, or none at all."""
    schedule = schedule_of(value)
    return schedule is None or schedule.text == number.schedule.text
