"""All processes plan the same index, and between them write every value once."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import RecordError
from burnish.records.entries.entry import Entry
from burnish.records.processes.messages import gathered
from burnish.records.sharded.save_plan import (
    difference,
    own_rectangles,
    plan_by_layout,
    plan_by_rectangles,
)
from burnish.records.sharded.shard_index import IN_CHUNKS, IN_FIRST

from ...forked_processes import in_processes
from ...sharded_nets import mesh_of, needs_sharding

pytestmark = needs_sharding


def entries_of(*tensors: Any) -> list[Entry]:
    return [
        Entry(str(i), "parameter", tensor.dtype, tuple(tensor.shape), tensor)
        for i, tensor in enumerate(tensors)
    ]


def test_the_index_is_the_same_whether_it_is_computed_or_told(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        from torch.distributed.tensor import Replicate, Shard, distribute_tensor

        grid, values = mesh_of(2, 2), torch.arange(15.0).reshape(5, 3)
        entries = entries_of(
            values,
            distribute_tensor(values, grid, [Shard(0), Shard(1)]),
            distribute_tensor(values, grid, [Replicate(), Shard(0)]),
            distribute_tensor(values, grid, [Replicate(), Replicate()]),
        )
        computed = plan_by_layout(entries, rank)
        told = plan_by_rectangles(entries, gathered(own_rectangles(entries)), rank)
        assert computed is not None

        assert told.index.numbers == [IN_FIRST, IN_CHUNKS, IN_CHUNKS, IN_CHUNKS]
        assert len({*gathered(computed.digest)}) == 1
        for plan in (computed, told):
            own = [int(entry.path) for entry in plan.own_entries]
            counts = [json.loads(m) for m in gathered(json.dumps(own).encode())]
            assert sorted(chain.from_iterable(counts)) == [0, 1, 1, 1, 1, 2, 2, 3]

    in_processes(act, tmp_path, 4)


def test_rectangles_that_leave_values_out_are_refused() -> None:
    class Rows:
        device_mesh = "a mesh"

    entry = Entry("w", "parameter", torch.float32, (4,), Rows())  # type: ignore[arg-type]
    messages = [json.dumps([[[0], [2], ""]]).encode(), json.dumps([None]).encode()]

    with pytest.raises(RecordError, match="does not cover shape"):
        plan_by_rectangles([entry], messages, 0)


def test_the_first_entry_that_differs_is_named() -> None:
    rows = [["a", "parameter", "float32", 3, False]]

    shorter = difference(rows, [], 1)
    other = difference(rows, [["a", "parameter", "float32", 4, True]], 2)

    assert "entry 0 is 'a' (parameter float32 (3,)) in process 0" in str(shorter)
    assert "nothing more in process 1" in str(shorter)
    assert "'a' (parameter float32 (4,), a DTensor) in process 2" in str(other)
