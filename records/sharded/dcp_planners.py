"""Planners of `torch.distributed.checkpoint` that pickle nothing.

Values of a state dict other than tensors are stored as the record of plain data.
"""

import dataclasses
import io
from typing import Any

import torch
from torch.distributed.checkpoint.default_planner import (
    DefaultLoadPlanner,
    DefaultSavePlanner,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    ReadItem,
    SavePlan,
    WriteItem,
    WriteItemType,
)

from ..entries.entries import Entries
from ..errors import RecordError, RecordMismatchError
from ..format import format_named, read_record
from ..io.sink import StreamSink
from ..io.source import MemorySource
from ..nest import data_of, record_of_data
from ..precision import Precision
from ..record_writer import RecordWriter, WritableRecord
from ..tensors.conversion import misfit_of_dtype


class RecordSavePlanner(DefaultSavePlanner):
    """Plans as torch's own does; TypeError for an object that is not plain data."""

    def finish_plan(self, new_plan: SavePlan) -> SavePlan:
        """Return the plan of this process, with the storage of this save.

        A plan that torch has cached from an earlier save has that one's file names.
        """
        plan = super().finish_plan(new_plan)
        self.plan = dataclasses.replace(plan, storage_data=new_plan.storage_data)
        return self.plan

    def transform_object(self, write_item: WriteItem, object: Any) -> Any:
        """Return ``object`` as bytes, if it is not a tensor."""
        if write_item.type != WriteItemType.BYTE_IO:
            return object
        content = io.BytesIO()
        as_written(_record_of(object, write_item.index.fqn)).write(StreamSink(content))
        return content


class RecordLoadPlanner(DefaultLoadPlanner):
    """Plans as torch's own does, and restores what `RecordSavePlanner` stored.

    RecordMismatchError, before a value changes, for a tensor that would be filled from
    values of another kind, or whose dtype cannot hold them.
    """

    def create_local_plan(self) -> LoadPlan:
        """Return what this process reads, with the dtypes to convert to."""
        plan = super().create_local_plan()
        assert self.metadata is not None  # since torch has planned with it
        rows = self.metadata.state_dict_metadata
        targets = {name: t for name, t in self.state_dict.items() if name in rows}
        problems = [
            f"{name}: {problem}"
            for name, target in targets.items()
            if (problem := _misfit(rows[name], target))
        ]
        if problems:
            raise RecordMismatchError("the state dict to load into", problems)
        dtypes = {
            name: target.dtype
            for name, target in targets.items()
            if isinstance(target, torch.Tensor)
        }
        return dataclasses.replace(plan, planner_data=dtypes)

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Put plain data in its place in the state dict."""
        data = plain_data(value.getvalue(), read_item.dest_index.fqn)
        # A flattened state dict, or its counterpart, is a copy: the caller looks at the
        # original.
        place: Any = self.original_state_dict
        path: tuple[Any, ...] = (read_item.dest_index.fqn,)
        if self.flatten_state_dict:
            path = self.mappings[path[0]]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = data


def _misfit(row: Any, target: Any) -> str | None:
    """Return why stored data, described by torch's ``row``, cannot fill a target."""
    if not isinstance(target, torch.Tensor):
        return None  # torch refuses to load a tensor where other data is stored
    if not isinstance(row, TensorStorageMetadata):
        return "found plain data, expected a tensor"
    problem = misfit_of_dtype(row.properties.dtype, target.dtype)
    return problem and f"{problem}. Load into a tensor of the stored dtype"


def _record_of(value: Any, name: str) -> Entries:
    """Return ``value``, which is ``name`` in a state dict, as a record."""
    try:
        return record_of_data(value)
    except (TypeError, ValueError, RecordError):
        # The value does not know the state dict around it, whose names torch joins by
        # dots: there, the same error states the whole path.
        around = value
        for key in reversed(name.split(".")):
            around = {key: around}
        record_of_data(around)
        raise


def plain_data(content: bytes, name: str) -> Any:
    """Return the value that `RecordSavePlanner` converted to bytes."""
    source = MemorySource(content, name=name)
    return data_of(read_record(format_named("mpk"), source))


def as_written(entries: Entries) -> WritableRecord:
    """Return ``entries`` with what writes them unchanged."""
    return WritableRecord(RecordWriter(), entries, Precision().of_record(entries))


def as_bytes(content: Any) -> torch.Tensor:
    """Return bytes as a tensor that has them."""
    data = content.getvalue()
    if not data:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
