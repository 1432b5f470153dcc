"""How long do two processes take to save a sharded module together, and to load it?"""

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from harness import Row, Samples, by_two_processes, race, scratch
from torch import distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

import burnish
from burnish.records.io.source import Maps
from burnish.records.sharded.layout import Rectangle
from burnish.records.sharded.placement import rectangle_of
from burnish.records.sharded.share_payload import rectangle_values

SIZES = {"336 MB, 20 tensors": (2048, 20, 4), "5 MB, 2,400 tensors": (24, 1200, 4)}
TARGETS: dict[str, dict[str, float | None]] = {
    "336 MB, 20 tensors": {"save": 0.6, "load": 0.9, "map": 0.5},
    "5 MB, 2,400 tensors": {"save": 0.45, "load": 0.25, "map": None},
}


def run() -> list[Row]:
    with scratch() as folder:
        samples = by_two_processes(lambda rank: measured(rank, folder))
    titles = {
        "save": "save / FileSystemWriter",
        "load": "load, all verified / FileSystemReader",
        "map": "share taken over from the map, verified / FileSystemReader",
    }
    return [
        Row.timed(
            f"{titles[what]}, 2 processes",
            f"{case}, in memory, 1 thread each",
            Samples(**times[what][0]),
            Samples(**times[what][1]),
            at_most=TARGETS[case][what],
        )
        for case, times in samples.items()
        for what in titles
    ]


def measured(rank: int, folder: str) -> dict[str, Any]:
    """Return the times of one of two processes, while the other does the same."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    samples: dict[str, Any] = {}
    for case, (width, depth, pairs) in SIZES.items():
        samples[case] = raced(Path(folder, str(width)), width, depth, pairs)
    dist.destroy_process_group()
    return samples


def raced(folder: Path, width: int, depth: int, pairs: int) -> dict[str, Any]:
    """Return by what was done the times of ours and of torch's own calls."""
    dcp = import_module("torch.distributed.checkpoint")
    layers: Any = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))
    net = fully_shard(layers)
    ours, theirs = f"{folder}/ours/", f"{folder}/theirs"
    state = net.state_dict()

    def saved_by_torch() -> None:
        dcp.save(state, storage_writer=dcp.FileSystemWriter(theirs))

    def loaded_by_torch() -> None:
        dcp.load(state, storage_reader=dcp.FileSystemReader(theirs))

    runners: dict[str, Any] = {
        "save": (lambda: burnish.save_record(net, ours), saved_by_torch),
        "load": (lambda: burnish.load_record(net, ours), loaded_by_torch),
        "map": (lambda: mapped(net, ours), loaded_by_torch),
    }
    result: dict[str, Any] = {}
    for what, (own, peer) in runners.items():
        times = race({"ours": own, "theirs": peer}, pairs=pairs, before=dist.barrier)
        result[what] = [asdict(times["ours"]), asdict(times["theirs"])]
    return result


def mapped(net: Any, folder: str) -> list[torch.Tensor]:
    """Return this process's shares as the memory that a load takes over."""
    record, maps = burnish.open_record(folder), Maps()
    shares: list[torch.Tensor] = []
    for name, param in net.named_parameters():
        entry, rectangle = record.entry_at(name), rectangle_of(param, name)
        assert entry is not None
        assert isinstance(rectangle, Rectangle)
        shares.append(rectangle_values(entry, rectangle, maps))
    return shares
