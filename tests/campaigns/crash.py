"""`make crash`: everything that can end a save or a load halfway, and what is left.

The results go to docs/reliability.md. With its options it is shorter.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from .faults import KINDS, run_preloaded
from .interrupted import cases, ctrl_c_at_random, differences
from .reliability import write_section
from .scenarios import OURS, PEERS, SCENARIOS
from .together import killed_at_random, together

BAD = ("lost", "silent", "mute", "hang", "crash", "litter", "next")
"""What no trial of ours may end in."""

N_SIGNALS = 200
"""How often each case gets Ctrl-C as a signal."""

Table = Mapping[str, Mapping[str, int]]


def main() -> int:
    """Run everything, write the section, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--lines", type=int, default=1, help="try every n-th line")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kills", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    named = {**OURS, **PEERS}
    chosen = ["save_record, .mpk", "save_record, .safetensors", *PEERS]
    calls = failing_calls(given.every)
    kills = {n: killed_at_random(named[n], given.kills) for n in chosen}
    crowd = {n: together(named[n], given.seconds) for n in chosen}
    lines = {name: interrupted(name, given.lines) for name in cases()}
    text = "\n".join(
        [
            "## Crashes (`make crash`)",
            _calls_section(calls),
            _kills_section(kills),
            _crowd_section(crowd),
            _lines_section(lines, given.lines),
        ]
    )
    write_section("crash", text)
    print(text)
    problems = sum(calls[name][bad] for name in OURS for bad in BAD)
    problems += sum(kills[n]["lost"] + kills[n]["litter"] for n in chosen if n in OURS)
    problems += sum(
        crowd[n]["failed reads"] + crowd[n]["failed saves"] + crowd[n]["litter"]
        for n in chosen
        if n in OURS
    )
    problems += sum(found["differences"] for found in lines.values())
    return int(problems > 0)


def failing_calls(every: int) -> dict[str, Counter[str]]:
    """Return the outcomes of failing every system call, by scenario."""
    outcomes = run_preloaded(
        "tests.campaigns.failing", str(every), ";".join(KINDS), ";".join(SCENARIOS)
    )
    return {
        name: sum((Counter(found) for found in kinds.values()), Counter[str]())
        for name, kinds in outcomes.items()
    }


def interrupted(name: str, every: int) -> Counter[str]:
    """Return how many exceptions came in place of lines, and what they changed."""
    found: Counter[str] = Counter()
    count: Callable[[str], None] = lambda _: found.update(["lines"])  # noqa: E731
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        case = cases()[name]
        for difference in differences(case, Path(folder), every=every, tell=count):
            found["differences"] += 1
            print(f"{name}: {difference:.400}", file=sys.stderr)
        for difference in ctrl_c_at_random(case, Path(folder), N_SIGNALS):
            found["differences"] += 1
            print(f"{name}, Ctrl-C: {difference:.400}", file=sys.stderr)
        found["ctrl-c"] = N_SIGNALS
    print(name, dict(found), file=sys.stderr, flush=True)
    return found


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _calls_section(calls: Table) -> str:
    kinds = ", ".join(KINDS)
    head = (
        "\n### Every system call fails once\n\n"
        "A file is saved over an old one, and the n-th call to open, write, writev, "
        "pwrite, fsync, rename, unlink, mkdir, mmap, flock, fchmod or ftruncate fails, "
        f"for every n and each of: {kinds}.\n"
        "Afterwards the old file or the new one is whole, or it is lost; the next save "
        "succeeds and leaves nothing else behind, or it does not.\n\n"
        "| saved by | trials | old | new | lost | hangs, crashes | said nothing | "
        "next save failed, litter |\n|---|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    rows = [
        f"| {name} | {f['calls']} | {f['old']} | {f['new']} | {f['lost']} "
        f"| {f['hang'] + f['crash']} | {f['silent'] + f['mute']} "
        f"| {f['next'] + f['litter']} |\n"
        for name, f in calls.items()
    ]
    return head + "".join(rows)


def _kills_section(kills: Table) -> str:
    head = (
        "\n### Killed at random moments\n\n"
        "A process that saves without end gets `kill -9`.\n\n"
        "| saved by | kills | old or new | lost | left behind after the next save |\n"
        "|---|--:|--:|--:|--:|\n"
    )
    rows = [
        f"| {n} | {f['kills']} | {f['old or new']} | {f['lost']} | {f['litter']} |\n"
        for n, f in kills.items()
    ]
    return head + "".join(rows)


def _crowd_section(crowd: Table) -> str:
    head = (
        "\n### Two writers and two readers of one file\n\n"
        "| saved by | saves | failed saves | reads | failed reads | left behind |\n"
        "|---|--:|--:|--:|--:|--:|\n"
    )
    rows = [
        f"| {n} | {f['saves']} | {f['failed saves']} | {f['reads']} "
        f"| {f['failed reads']} | {f['litter']} |\n"
        for n, f in crowd.items()
    ]
    return head + "".join(rows)


def _lines_section(lines: Table, every: int) -> str:
    which = "every line" if every == 1 else f"one line of {every}"
    head = (
        f"\n### An exception in place of {which}\n\n"
        "Of the library's own lines that run; and Ctrl-C, as a signal, at random "
        "moments.\nCompared are values, memory, IDs and extra state of modules, files, "
        "temporaries, open descriptors, signal handlers, the garbage collector and "
        "grad mode; then the same is done again, and has to succeed.\n\n"
        "| ended | lines | Ctrl-C | differences |\n|---|--:|--:|--:|\n"
    )
    rows = [
        f"| {name} | {f['lines']} | {f['ctrl-c']} | {f['differences']} |\n"
        for name, f in lines.items()
    ]
    return head + "".join(rows)


if __name__ == "__main__":
    sys.exit(main())
