"""What DTensors say of their rows is what torch gives each process."""

from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import RecordError
from burnish.records.sharded.layout import Layout
from burnish.records.sharded.pieces import rows_of
from burnish.records.sharded.placement import (
    layout_of,
    rectangle_by_torch,
    rectangle_of,
)

from ...forked_processes import in_processes
from ...sharded_nets import fsdp, mesh_of, needs_sharding, plain_net, tensor_parallel

pytestmark = needs_sharding


def test_each_process_knows_its_own_rows(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        from torch.distributed.tensor import Replicate, Shard, distribute_tensor

        values = torch.arange(63.0).reshape(7, 9)
        one_dim, grid = mesh_of(), mesh_of(2, 2)
        cases: list[tuple[Any, Any]] = [
            (one_dim, [Shard(0)]),
            (one_dim, [Shard(1)]),
            (one_dim, [Replicate()]),
            (grid, [Shard(0), Shard(1)]),
            (grid, [Shard(0), Shard(0)]),
            (grid, [Replicate(), Shard(1)]),
        ]
        for mesh, placements in cases:
            tensor = distribute_tensor(values, mesh, placements)
            rectangle = rectangle_of(tensor, "w")
            assert rectangle is not None
            assert torch.equal(tensor.to_local(), rows_of(values, rectangle))
            if rectangle.n_values:
                assert rectangle_by_torch(tensor, "w") == rectangle

    in_processes(act, tmp_path, 4)


def test_tensor_parallelism_cuts_before_fsdp_does(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        mesh = mesh_of(2, 2, names=("dp", "tp"))
        net: Any = fsdp(tensor_parallel(plain_net(), mesh["tp"]), mesh["dp"])
        weight: Any = net[0].weight
        values: Any = plain_net()[0].weight

        rectangle = rectangle_of(weight, "0.weight")

        assert layout_of(weight, "0.weight") == Layout(
            (2, 2), (0, 1, 2, 3), ((1, 0), (0, 0))
        )
        assert rectangle is not None
        assert torch.equal(weight.to_local(), rows_of(values, rectangle))

    in_processes(act, tmp_path, 4)


def test_sums_that_are_not_added_up_have_no_values(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        from torch.distributed.tensor import DTensor, Partial

        sums: Any = DTensor.from_local(torch.ones(2), mesh_of(), [Partial()])
        with pytest.raises(RecordError, match="reduce them first"):
            layout_of(sums, "w")

    in_processes(act, tmp_path, 2)
