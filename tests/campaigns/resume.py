"""`make resume`: runs that stop or are killed, and whether they go on to the bit.

    python -m tests.campaigns.resume [--n N] [--kills N] [--seed S] [--dry]

The results go to docs/reliability.md.
"""

import argparse
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from .forks import Outcomes, run_cases
from .reliability import write_section
from .resumed import OPTIMIZERS, WAYS, difference, differs, drawn, killed_run

GOOD = {"e": "equal to the bit"}
BAD = {"d": "other bits", "x": "an error", "crash": "a crash", "hang": "a hang"}

N_STEPS = 8
"""Of a run that is killed."""


def stopped(seed: int, number: int, ways: tuple[str, ...] = ()) -> str:
    """Return how the case of a number ended, as a letter."""
    case = drawn(seed, number, ways)
    with tempfile.TemporaryDirectory() as folder:
        found = differs(case, Path(folder))
    if found:
        print(f"{number}: {found:.300}, {case}", file=sys.stderr, flush=True)
    return "e" if not found else "d" if found == "other bits" else "x"


def killed(seed: int, number: int) -> str:
    """Return how a run ended that was killed twice, at random moments."""
    case, draw = (
        drawn(seed, number, ("Checkpoints",)),
        random.Random(f"{seed} {number}"),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole = killed_run(case, folder / "whole", N_STEPS)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        for _ in range(2):
            killed_run(case, folder / "run", N_STEPS, draw.uniform(0.01, seconds))
        found = difference(whole, killed_run(case, folder / "run", N_STEPS))
    if found:
        print(f"{number}: {found:.300}, {case}", file=sys.stderr, flush=True)
    return "e" if not found else "d" if found == "other bits" else "x"


def stops(n: int, seed: int, ways: tuple[str, ...] = ()) -> Outcomes:
    """Return how ``n`` drawn runs ended that one process began and another ended."""
    return run_cases(lambda i: stopped(seed, i, ways), range(n), GOOD, seconds=200)


def kills(n: int, seed: int) -> Outcomes:
    """Return how ``n`` drawn runs ended that were killed twice."""
    return run_cases(lambda i: killed(seed, i), range(n), GOOD, seconds=200)


def main() -> int:
    """Run both, write the section, and return 1 if anything differed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="write no page")
    given = parser.parse_args()
    torch.set_num_threads(1)
    start = time.monotonic()
    rows, n_defects = list[str](), 0
    for name, outcomes in (
        ("stopped, and continued by another process", stops(given.n, given.seed)),
        ("killed at two random moments", kills(given.kills, given.seed)),
    ):
        counts = Counter({BAD.get(k, k): v for k, v in outcomes.counts.items()})
        n_defects += sum(map(len, outcomes.defects.values()))
        shown = ", ".join(f"{key}: {count:,}" for key, count in sorted(counts.items()))
        rows.append(f"| {name} | {sum(counts.values()):,} | {shown} |")
        print(rows[-1], flush=True)
    head = f"""## Runs that go on (`make resume`)

A run is drawn: one of {len(OPTIMIZERS)} optimizers, an engine, a schedule, groups, a
clip, a dtype, state in float32 or not, layers that are frozen or come late, dropout.
N + M steps without a stop are compared with N steps, a save by one of {len(WAYS)} ways
({", ".join(WAYS)}), a new process, and M steps: parameters, the optimizer's state,
rates, flags and what is drawn next, to the bit.
{n_defects} differed or failed.
Seed {given.seed}, torch {torch.__version__}, {time.monotonic() - start:,.0f} s.

| runs | number | ended |
|---|--:|---|
"""
    if not given.dry:
        write_section("resume", head + "\n".join(rows))
    return int(n_defects > 0)


if __name__ == "__main__":
    raise SystemExit(main())
