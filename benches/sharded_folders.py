"""How long do two processes take to save a sharded module together, and to load it?"""

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from harness import (
    MIB,
    Row,
    Samples,
    by_two_processes,
    extra_memory,
    memory_of_run,
    race,
    race_of_processes,
    scratch,
)
from torch import nn
from torch.distributed.fsdp import fully_shard

import burnish
from burnish.records.io.source import Maps
from burnish.records.sharded.layout import Rectangle
from burnish.records.sharded.placement import rectangle_of
from burnish.records.sharded.share_payload import rectangle_values
from burnish.train.inspection.conversion import consolidate_folder

Runners = dict[str, Callable[[], object]]
CLOCKS: tuple[Literal["cpu", "wall"], ...] = ("cpu", "wall")
SIZES = {"336 MB, 20 tensors": (2048, 20, 5), "5 MB, 2,400 tensors": (24, 1200, 3)}
TARGETS: dict[str, dict[str, float | None]] = {
    "336 MB, 20 tensors": {"save": 0.6, "load": 0.9, "map": 0.5},
    "5 MB, 2,400 tensors": {"save": 0.45, "load": 0.25, "map": None},
}


MOST_MEMORY = {"save": 16.0, "consolidate": 64.0}
"""MiB that a process needs beside the module."""

COPY = 1 / 0.7
"""Of the time of a copy of the file: 0.7 of its speed."""


def run() -> list[Row]:
    # A process that is forked from one with several waits for those for ever.
    torch.set_num_threads(1)
    with scratch() as folder:
        results = by_two_processes(lambda _: measured(Path(folder)))
        rows = [*timed(results["times"]), *memory(results["memory"])]
        return [*rows, *consolidated(Path(folder, "2048"))]


def timed(samples: dict[str, Any]) -> list[Row]:
    """Return the times of both processes' calls, of the CPU and of the wall."""
    titles = {
        "save": "save / FileSystemWriter",
        "load": "load, all verified / FileSystemReader",
        "map": "share taken over from the map, verified / FileSystemReader",
    }
    return [
        Row.timed(
            f"{titles[what]}, 2 processes",
            f"{case}, in memory, 1 thread each",
            Samples(**times[what]),
            Samples(**times["save by torch" if what == "save" else "load by torch"]),
            at_most=TARGETS[case][what],
            by=by,
        )
        for case, times in samples.items()
        for what in titles
        for by in CLOCKS
    ]


def memory(peaks: dict[str, dict[str, int]]) -> list[Row]:
    """Return what a save takes beside the module, of one of the processes."""
    return [
        Row.bounded(
            "extra memory of a save, and of FileSystemWriter, one of 2 processes",
            case,
            by_whom["save"] / MIB,
            "MiB",
            at_most=MOST_MEMORY["save"],
            peer=by_whom["save by torch"] / MIB,
        )
        for case, by_whom in peaks.items()
    ]


def consolidated(folder: Path) -> list[Row]:
    """Return how the folder becomes one file, beside a copy of that file."""
    source, target = str(folder / "ours"), str(folder / "one.mpk")
    copy = folder / "copy.mpk"

    def consolidate() -> None:
        consolidate_folder(source, target, is_replacing=True)

    def copied() -> None:
        with open(copy, "wb") as to, open(target, "rb") as of:
            shutil.copyfileobj(of, to, 1 << 20)

    consolidate()
    times = race({"ours": consolidate, "theirs": copied}, pairs=4)
    own, peer = times["ours"], times["theirs"]
    case = "336 MB, 20 tensors, in memory, 1 thread"
    title = "consolidate, verified / copy of the file"
    return [Row.timed(title, case, own, peer, at_most=COPY, by=by) for by in CLOCKS] + [
        Row.bounded(
            "extra memory of consolidate",
            case,
            extra_memory(consolidate).peak / MIB,
            "MiB",
            at_most=MOST_MEMORY["consolidate"],
        )
    ]


def measured(folder: Path) -> dict[str, Any]:
    """Return times and memory of one process, while the other does the same."""
    times: dict[str, Any] = {}
    peaks: dict[str, Any] = {}
    for case, (width, depth, pairs) in SIZES.items():
        saves, loads = runners_of(folder / str(width), width, depth)
        times[case] = {
            **race_of_processes(saves, pairs=pairs),
            **race_of_processes(loads, pairs=pairs),
        }
        peaks[case] = {name: memory_of_run(save)[0] for name, save in saves.items()}
    return {"times": times, "memory": peaks}


def runners_of(folder: Path, width: int, depth: int) -> tuple[Runners, Runners]:
    """Return our saves and loads, each beside torch's own."""
    dcp = import_module("torch.distributed.checkpoint")
    layers: Any = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))
    net = fully_shard(layers)
    ours, theirs = f"{folder}/ours/", f"{folder}/theirs"
    state = net.state_dict()

    def saved_by_torch() -> None:
        dcp.save(state, storage_writer=dcp.FileSystemWriter(theirs))

    def loaded_by_torch() -> None:
        dcp.load(state, storage_reader=dcp.FileSystemReader(theirs))

    saves: Runners = {
        "save": lambda: burnish.save_record(net, ours),
        "save by torch": saved_by_torch,
    }
    loads: Runners = {
        "load": lambda: burnish.load_record(net, ours),
        "map": lambda: mapped(net, ours),
        "load by torch": loaded_by_torch,
    }
    return saves, loads


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
