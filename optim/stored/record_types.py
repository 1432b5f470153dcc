"""The types of an optimizer's record: groups, and states by parameter ID."""

from collections.abc import Mapping
from typing import Any

from ...records.record import Record


class ParamState(Record):
    """The state of one parameter."""

    path: str
    group: int
    values: dict[str, Any]
    """The fields of the state: tensors and numbers."""


class GroupState(Record):
    """The settings by which a group is stepped."""

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


OPTIMIZER_KEY = "optimizer"
"""The metadata key for what no field of an optimizer's record has."""


def optimizer_description(record: Record) -> Mapping[str, Any]:
    """Return an optimizer's own metadata in its record.

    Nothing if a file is older, or its metadata is of another kind.
    """
    description = record.metadata.get(OPTIMIZER_KEY)
    return description if isinstance(description, Mapping) else {}
