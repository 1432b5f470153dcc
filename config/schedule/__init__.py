"""Numbers that change as a run proceeds, written as text: ``step: 1@0 lin 0@100``."""

from .number import ScheduledFloat, ScheduledInt, at, schedule_of, scheduled
from .schedule import Schedule
from .view import plot, sparkline

__all__ = [
    "Schedule",
    "ScheduledFloat",
    "ScheduledInt",
    "at",
    "plot",
    "schedule_of",
    "scheduled",
    "sparkline",
]
