"""What does the index of 10,000 tensors on 1,024 processes cost, of time and bytes?"""

import time
from pathlib import Path

import torch
from harness import Row, forked, scratch
from torch import distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

import burnish
from burnish.config.process.gc_pause import paused_collection
from burnish.core import into_record
from burnish.records.record_writer import RecordWriter
from burnish.records.sharded.folder import RecordFolder
from burnish.records.sharded.save_plan import plan_by_layout
from burnish.records.sharded.saving import write_index
from burnish.records.sharded.shard_index import INDEX, PartFile, part_name

N_TENSORS, N_PROCESSES = 10_000, 1_024
MOST_BYTES = 100 * N_TENSORS + 80 * N_PROCESSES


def run() -> list[Row]:
    with scratch() as folder:
        figures = forked(lambda: measured(Path(folder)))
    case = f"{N_TENSORS:,} tensors, {N_PROCESSES:,} processes"
    return [
        Row.bounded(question, case, figures[key], unit, at_most=most)
        for question, key, unit, most in (
            ("computed by each process", "plan", "s cpu", 1.0),
            ("computed, and written by the first", "save", "s cpu", 1.0),
            ("opened", "open", "s cpu", 1.0),
            ("size", "bytes", "bytes", MOST_BYTES),
        )
    ]


def measured(folder: Path) -> dict[str, float]:
    """Return seconds and bytes, of the fastest of three runs."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.set_num_threads(1)
    # One process that takes itself for the first of 1,024, and sends nothing.
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=N_PROCESSES)
    net = sharded_module()
    runs = [times_of(net, folder) for _ in range(3)]
    return {
        **{key: min(run[key] for run in runs) for key in runs[0]},
        "bytes": (folder / INDEX).stat().st_size,
    }


def sharded_module() -> nn.Module:
    """Return a module of whose parameters each process has a row."""
    mesh = init_device_mesh("cpu", (N_PROCESSES,))
    net = nn.ModuleDict(
        {f"block{i}_attention": nn.Linear(1, 1) for i in range(N_TENSORS // 2)}
    )
    for layer in net.values():
        for name, param in layer.named_parameters():
            share = torch.zeros(1, *param.shape[1:])
            spread = DTensor.from_local(share, mesh, [Shard(0)], run_check=False)
            setattr(layer, name, nn.Parameter(spread))
    return net


def times_of(net: nn.Module, path: Path) -> dict[str, float]:
    """Return what one save and its index take of the CPU, as `save_record` has it."""
    began = time.process_time()
    with paused_collection():
        record = into_record(net)
    writable = RecordWriter().prepare(record)
    plan = plan_by_layout(writable.entries.entries(), 0)
    assert plan is not None
    assert plan.digest
    planned = time.process_time()
    plan.index.parts = [
        PartFile(part_name(i, N_PROCESSES, "0" * 8), 1 << 30, bytes(16))
        for i in range(N_PROCESSES)
    ]
    write_index(writable, plan, RecordFolder(path))
    written = time.process_time()
    assert len(burnish.open_record(path).entries()) == N_TENSORS
    opened = time.process_time()
    return {
        "plan": planned - began,
        "save": written - began,
        "open": opened - written,
    }
