"""How long do two processes take to save a sharded module together, and to load it?

The floor of a save is what no checked one can do without: each process hashes its share
and writes it to a new file, which takes the place of the old one.
"""

import ctypes
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
import xxhash
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


@dataclass(frozen=True, slots=True)
class Case:
    """A module, and what its times may be of those of torch's own."""

    title: str
    width: int
    depth: int
    pairs: int
    targets: dict[str, float]


CASE = Case("336 MB, 20 tensors", 2048, 20, 5, {"save": 0.6, "load": 0.9, "map": 0.5})

MOST_MEMORY = {"save": 16.0, "consolidate": 64.0}
"""MiB that a process needs beside the module."""

COPY = 1 / 0.7
"""Of the time of a copy of the file: 0.7 of its speed."""


def run() -> list[Row]:
    # A process that is forked from one with several waits for those for ever.
    torch.set_num_threads(1)
    with scratch() as folder:
        return [*compared(CASE, Path(folder)), *consolidated(Path(folder))]


def compared(case: Case, folder: Path) -> list[Row]:
    """Return what two processes need for the module, beside torch's own calls."""
    results = by_two_processes(lambda _: measured(case, folder))
    return [*timed(case, results["times"]), memory(case, results["peaks"])]


def timed(case: Case, times: dict[str, Any]) -> list[Row]:
    """Return the times of both processes' calls, of the CPU and of the wall."""
    titles = {
        "save": "save / FileSystemWriter",
        "save by hand": "hash, write and replace by hand / same",
        "load": "load, all verified / FileSystemReader",
        "map": "share taken over from the map, verified / FileSystemReader",
    }
    return [
        Row.timed(
            f"{titles[what]}, 2 processes",
            f"{case.title}, in memory, 1 thread each",
            Samples(**times[what]),
            Samples(**times[f"{what.replace('map', 'load').split()[0]} by torch"]),
            at_most=case.targets.get(what),
            by=by,
        )
        for what in titles
        for by in CLOCKS
    ]


def memory(case: Case, peaks: dict[str, int]) -> Row:
    """Return what a save takes beside the module, of one of the processes."""
    return Row.bounded(
        "extra memory of a save, and of FileSystemWriter, one of 2 processes",
        case.title,
        peaks["save"] / MIB,
        "MiB",
        at_most=MOST_MEMORY["save"],
        peer=peaks["save by torch"] / MIB,
    )


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


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """Return times and memory of one process, while the other does the same."""
    saves, loads = runners_of(folder, case.width, case.depth)
    races = [race_of_processes(each, pairs=case.pairs) for each in (saves, loads)]
    peaks = {name: memory_of_run(save)[0] for name, save in saves.items()}
    return {"times": races[0] | races[1], "peaks": peaks}


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
        "save by hand": lambda: saved_by_hand(net, folder),
        "save by torch": saved_by_torch,
    }
    loads: Runners = {
        "load": lambda: burnish.load_record(net, ours),
        "map": lambda: mapped(net, ours),
        "load by torch": loaded_by_torch,
    }
    return saves, loads


def saved_by_hand(net: Any, folder: Path) -> None:
    """Write this process's shares to a file, hashed a MiB at a time."""
    file = f"{folder}/hand-{torch.distributed.get_rank()}"
    with open(f"{file}.new", "wb", buffering=0) as new:
        for param in net.parameters():
            share = param.to_local()
            memory = (ctypes.c_char * share.nbytes).from_address(share.data_ptr())
            values = memoryview(memory).cast("B")
            for start in range(0, len(values), MIB):
                piece = values[start : start + MIB]
                xxhash.xxh3_64_digest(piece)
                new.write(piece)
    os.replace(f"{file}.new", file)


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
