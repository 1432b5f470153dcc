from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

import burnish
from burnish.core import from_record, into_record, load_record, named_params
from burnish.core.modules.tree import WRAPPING


def net() -> Any:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4, bias=False))


PATHS = ["0.weight", "0.bias", "2.weight"]


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


def paths(module: Any) -> list[str]:
    return [entry.path for entry in into_record(module).entries()]


def test_compiled_and_checkpointed_parts_keep_their_paths() -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
        checkpoint_wrapper,
    )

    module = net()
    module[0] = torch.compile(module[0], backend="eager")
    module[2] = checkpoint_wrapper(module[2])

    assert paths(module) == PATHS
    assert paths(torch.compile(module, backend="eager")) == PATHS


def test_data_parallel_wrappers_are_not_in_the_paths() -> None:
    assert paths(nn.DataParallel(net())) == PATHS


def test_a_users_module_with_a_child_called_module_keeps_its_paths() -> None:
    class Wraps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = net()

    assert paths(Wraps()) == [f"module.{path}" for path in PATHS]


@pytest.mark.usefixtures("one_process")
def test_a_module_under_ddp_is_saved_and_loaded_as_itself() -> None:
    module = net()
    wrapped = nn.parallel.DistributedDataParallel(net())

    load_record(wrapped, into_record(module))

    assert paths(wrapped) == PATHS
    assert torch.equal(wrapped.module[0].weight, module[0].weight)


@pytest.mark.usefixtures("one_process")
def test_a_sharded_module_keeps_its_ids_and_loads_records_of_whole_ones() -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    module, sharded = net(), net()
    before = {p.path: p.id for p in named_params(sharded)}
    fully_shard(sharded, mesh=init_device_mesh("cpu", (1,)))

    assert {p.path: p.id for p in named_params(sharded)} == before
    load_record(sharded, burnish.open_record(stored(module)))

    for path, parameter in sharded.named_parameters():
        expected = module.get_parameter(path)
        assert torch.equal(parameter.full_tensor(), expected)
    again = from_record(net, stored(sharded))
    assert torch.equal(again[0].weight, module[0].weight)


def stored(module: nn.Module) -> bytes:
    data = burnish.save_record(module)
    assert data is not None
    return data


@pytest.mark.parametrize("name", sorted(WRAPPING))
def test_a_module_with_tensors_of_its_own_wraps_no_child(name: str) -> None:
    module = nn.Linear(2, 2)
    module.add_module(name, nn.Linear(2, 2))

    paths = set(burnish.open_record(burnish.save_record(module)))

    assert paths == {"weight", "bias", f"{name}.weight", f"{name}.bias"}
