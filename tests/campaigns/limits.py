"""`make limits`: the largest records and modules, saved and loaded.

    python -m tests.campaigns.limits [--part NAME] [--scale S]

A record of 200,000 entries, what the command makes of such files, a module of 20,000
modules, and a record of 8 GiB with a tensor of 5 GiB, in every format that allows it.
Memory is what a step takes at most beside the values that it saves or gives back; time
is compared with half the size. The results go to docs/reliability.md.
"""

import argparse
import gc
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import burnish
from burnish.cli.main import main as main_of_command
from burnish.records.entries.entry import Entry, ParamId
from burnish.records.flat_record import FlatRecord
from burnish.records.recorder import Recorder

from .reliability import section, write_section

SUFFIXES = (".mpk", ".mpk.zst", ".json", ".safetensors")
FILES = (".mpk", ".mpk.zst", ".safetensors")
GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step took."""

    seconds: float
    """Of the CPU."""
    memory: int
    """Most bytes beside those of mapped files, and beside what the step gave back."""


@dataclass(frozen=True, slots=True)
class Row:
    """A step at a size."""

    case: str
    step: str
    n_entries: int
    cost: Cost
    half: Cost | None = None
    """At half the size."""

    @property
    def most(self) -> int:
        """The bytes that the step may take."""
        return 64 * MIB + 300 * self.n_entries

    def cells(self) -> list[str]:
        """Return the row of the table."""
        ratio = self.half and self.cost.seconds / max(self.half.seconds, 1e-3)
        return [
            self.case,
            self.step,
            f"{self.cost.seconds:.2f}",
            "" if ratio is None else f"{ratio:.1f}",
            f"{self.cost.memory / MIB:.0f}",
            f"{self.most / MIB:.0f}",
            "yes" if self.cost.memory <= self.most else "**no**",
        ]


def measured(step: Callable[[], Any]) -> Cost:
    """Return what ``step`` takes in a forked process."""

    def measure() -> list[float]:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        resident, in_files = _status("VmRSS"), _status("RssFile")
        own = _status("RssAnon")
        start = time.process_time()
        result = step()
        seconds = time.process_time() - start
        peak = _status("VmHWM") - resident - (_status("RssFile") - in_files)
        kept = 0 if result is None else _status("RssAnon") - own
        return [seconds, max(0, peak - kept)]

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(measure()))
    gc.freeze()  # the child's collections then leave what it was born with alone
    child.start()
    gc.unfreeze()
    sender.close()
    try:
        seconds, memory = receiver.recv()
    except EOFError as error:
        raise RuntimeError("a step has failed, as was said above") from error
    finally:
        child.join()
    return Cost(seconds, int(memory))


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise OSError(f"/proc/self/status has no {key}")


def many_entries(n: int) -> FlatRecord:
    """Return a record of ``n`` values of 4 bytes."""
    values = torch.arange(n, dtype=torch.float32).unbind()
    return FlatRecord.of(
        [
            Entry(f"layers.{i}.w", "parameter", value.dtype, (), value, id_, True)
            for i, (value, id_) in enumerate(
                zip(values, ParamId.draw_many(n), strict=True)
            )
        ],
        type_name="Many",
    )


def look_at(file: Path) -> None:
    """Make every entry, and read none."""
    with burnish.open_record(file) as record:
        assert record.entries()


def entry_steps(n: int, suffix: str, folder: Path) -> dict[str, Cost]:
    """Return what a record of ``n`` entries costs, step by step."""
    record, file = many_entries(n), folder / f"many{suffix}"
    recorder = Recorder(suffix[1:])

    def verify() -> None:
        assert burnish.verify_file(file).n_entries == n

    return {
        "save": measured(lambda: recorder.save(record, file)),
        "open": measured(lambda: look_at(file)),
        "verify": measured(verify),
    }


def command_lines(a: Path, b: Path, folder: Path) -> dict[str, list[str]]:
    """Return calls of the command that look at every entry of one file or of two."""
    show = ["show", str(a)]
    return {
        "show": show,
        "show --all": [*show, "--all"],
        "show --json": [*show, "--json"],
        "show --stats": [*show, "--stats", "--json"],
        "diff --json": ["diff", str(a), str(b), "--json"],
        "verify": ["verify", str(a)],
        "convert": ["convert", str(a), str(folder / "converted.mpk"), "--force"],
    }


def call_command(words: list[str]) -> None:
    """Run the command, whose output goes nowhere."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        assert main_of_command(words) in (0, 1)


def command_steps(n: int, suffix: str, folder: Path) -> dict[str, Cost]:
    """Return what commands take for files of ``n`` entries, all of which differ."""
    for words in _lines_for_pair(8, suffix, folder).values():
        call_command(words)  # what is imported is not a part of what entries take
    return {
        name: measured(partial(call_command, words))
        for name, words in _lines_for_pair(n, suffix, folder).items()
    }


def _lines_for_pair(n: int, suffix: str, folder: Path) -> dict[str, list[str]]:
    """Return calls of the command for two files of ``n`` entries, which are made.

    By a process of its own: memory that is free after it would serve the commands.
    """
    a, b = (folder / f"{name}{n}{suffix}" for name in "ab")

    def save_both() -> None:
        record, recorder = many_entries(n), Recorder(suffix[1:])
        recorder.save(record, a)
        recorder.save(record.map_tensors(lambda values: values + 1), b)

    measured(save_both)
    return command_lines(a, b, folder)


class Many(nn.Module):
    """A module of ``n`` small ones."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(n - 2))


burnish.module(Many)


def module_steps(n: int, suffix: str, folder: Path) -> dict[str, Cost]:
    """Return what a module of ``n`` modules costs, step by step."""
    net, file = Many(n), folder / f"net{suffix}"

    def load() -> None:
        burnish.load_record(net, file)

    return {
        "save": measured(lambda: burnish.save_record(net, file)),
        "load_record": measured(load),
        "from_record": measured(lambda: burnish.from_record(lambda: Many(n), file)),
    }


def large_steps(n_bytes: int, suffix: str, folder: Path) -> dict[str, Cost]:
    """Return what a record of ``n_bytes`` costs, most of them in one tensor."""
    file = folder / f"large{suffix}"
    tensors = large_tensors(n_bytes)

    def verify() -> None:
        assert burnish.verify_file(file).nbytes == n_bytes

    def touch() -> Tensor:
        with burnish.open_record(file, verify=False) as record:
            large: Tensor = record["large"]
        assert large[-1] == 1
        return large

    return {
        "save": measured(lambda: burnish.save_record(tensors, file)),
        "verify": measured(verify),
        "open, the large tensor": measured(touch),
    }


def large_tensors(n_bytes: int) -> dict[str, Tensor]:
    """Return a tensor of 5/8 of the bytes and one of the rest, which take no memory."""
    one = torch.ones(1)
    return {
        "large": one.expand(n_bytes // 4 * 5 // 8),
        "rest": one.expand(n_bytes // 4 * 3 // 8),
    }


def rows(part: str, scale: float) -> Iterator[Row]:
    """Measure a part, step by step."""
    name, size, suffixes, steps, entries_of_one = PARTS[part]
    for suffix in suffixes:
        n = int(size * scale)
        with tempfile.TemporaryDirectory() as folder:
            full = steps(n, suffix, Path(folder))
            # Commands and large files take minutes.
            has_halves = part in ("entries", "modules")
            halves = steps(n // 2, suffix, Path(folder)) if has_halves else {}
        for step, cost in full.items():
            case = f"{name.format(n=n, gib=n / GIB)}, {suffix}"
            n_entries = 2 if part == "large" else n * entries_of_one
            n_entries *= 2 if step.startswith("diff") else 1
            yield Row(case, step, n_entries, cost, halves.get(step))


Steps = Callable[[int, str, Path], dict[str, Cost]]

PARTS: dict[str, tuple[str, int, tuple[str, ...], Steps, int]] = {
    "entries": ("{n:,} entries", 200_000, SUFFIXES, entry_steps, 1),
    "commands": ("{n:,} entries, burnish", 200_000, FILES, command_steps, 1),
    "modules": ("{n:,} modules", 20_000, SUFFIXES, module_steps, 2),
    "large": ("{gib:.3g} GiB", 8 * GIB, (".mpk", ".safetensors"), large_steps, 1),
}
"""What a case is called, its size, its formats, its steps, entries of one unit."""

_TITLE = """## Limits (`make limits`)

Memory is what a step takes at most beside the values and mapped files, and may be
64 MiB and 300 bytes an entry. The third figure is the time over that of half the size.
"""
_COLUMNS = (
    "case",
    "step",
    "s, CPU",
    "of half the size",
    "MiB",
    "at most",
    "met",
)


def table(lines: list[str]) -> str:
    """Return the section of docs/reliability.md."""
    head = [f"| {' | '.join(_COLUMNS)} |", "|---|---|--:|--:|--:|--:|---|"]
    return f"{_TITLE}\n" + "\n".join([*head, *lines])


def main() -> int:
    """Measure the parts that are asked for, and write all of them down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--scale", type=float, default=1.0, help="of the whole size")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [arguments.part] if arguments.part else [*PARTS]
    found = [row for part in chosen for row in rows(part, arguments.scale)]
    lines = [f"| {' | '.join(row.cells())} |" for row in found]
    print("\n".join(lines))
    if arguments.scale == 1.0:
        write_section("limits", table([*_others(found), *lines]))
    return int(any(row.cost.memory > row.most for row in found))


def _others(found: list[Row]) -> list[str]:
    """Return the lines of the cases that were not measured this time."""
    cases = {row.case for row in found}
    lines = section("limits").splitlines()
    kept = [line for line in lines if line.startswith("| ") and "| step |" not in line]
    return [line for line in kept if line.split(" | ")[0][2:] not in cases]


if __name__ == "__main__":
    sys.exit(main())
