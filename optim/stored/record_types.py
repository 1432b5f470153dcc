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


OPTIMIZER_KEY = "optimizer"
"""The key of the metadata under which an optimizer says what no field has."""


def optimizer_description(record: Record) -> Mapping[str, Any]:
    """Return what the metadata of an optimizer's record says of it.

    Nothing where a file is older, or its metadata somebody else's.
    """
    description = record.metadata.get(OPTIMIZER_KEY)
    return description if isinstance(description, Mapping) else {}
