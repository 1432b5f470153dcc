"""The types of an optimizer's record: groups, and states by parameter ID."""

from typing import Any

from ...records.record import Record


class ParamState(Record):
    """The state of one parameter."""

    path: str
    group: int
    values: dict[str, Any]
    """The fields of the state: tensors and numbers."""


class GroupState(Record):
    """What a group is stepped with."""

    kind: str
    hyperparameters: dict[str, Any]
    engine: str
    schedule: dict[str, Any] | None = None


class OptimizerRecord(Record):
    """The state of an optimizer: groups, and states by parameter ID."""

    kind: str
    is_training: bool
    groups: list[GroupState]
    states: dict[str, ParamState]
