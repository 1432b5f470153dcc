"""`make fuzz`: files of every format with damage of every kind, and what reads them.

    python -m tests.campaigns.fuzz [--part NAME] [--n N] [--seed S] [--minutes M]

The results go to docs/reliability.md. A part is a function in `PARTS` that takes the
options and returns the figures by name; other campaigns of the same kind join there.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from burnish import open_record
from burnish.records import Record, RecordError, limits
from burnish.records.formats import json_reader, long_texts

from ..optim import every_function
from ..optim.every_function import DTYPES, SPACES
from ..records.hostile_files import FILES, SUMMED, said
from .afterwards import misuse
from .configs import CASES, configs
from .constructors import constructors
from .drawn_edits import drawn_edits
from .engines import engines
from .forks import Outcomes, run_cases
from .guided import explore
from .many import come_back
from .mutations import FORGERS, mutated
from .odd_files import ODD_FILES
from .oracles import oracles
from .reliability import section, write_section
from .sanitizers import sanitizers

CORPUS = Path(__file__).parent.parent / "data" / "corpus"

GOOD = {"r": "refused", "e": "read, equal", "o": "read, by its own sums"}
BAD = {
    "w": "other values with checksums intact",
    "x": "another exception",
    "m": "memory",
    "u": "another exception when the record was used",
}

Figures = dict[str, int | float]


@dataclass(frozen=True, slots=True)
class Options:
    """How much is tried."""

    n: int = 200_000
    """Files of each format."""
    seed: int = 0
    minutes: float = 30
    """Of the run that is guided by coverage."""


class State(Record):
    """A record of every kind of value, in few bytes."""

    t: int
    m: torch.Tensor
    extra: Any = None


def typed_file() -> bytes:
    """Return an `.mpk` file of a typed record."""
    nested = State(t=2**70, m=torch.ones(1, dtype=torch.bfloat16))
    values = {"a": (1, None, float("inf")), "$b": b"xy", "c": [nested, True]}
    return State(t=3, m=torch.arange(3), extra=values).save()


def originals(name: str) -> list[bytes]:
    """Return the undamaged files of a format."""
    return [FILES[name](), *([typed_file()] if name == "mpk" else [])]


def outcome(name: str, files: list[bytes], seed: int, number: int) -> str:
    """Return how reading damaged file ``number`` of a format ends, as a letter."""
    draw = random.Random(f"{name} {seed} {number}")
    data = draw.choice(files)
    forge = FORGERS.get(name)
    is_forged = forge is not None and draw.random() < 0.6
    damaged = forge(data, draw) if forge and is_forged else mutated(data, draw)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    try:
        found = said(damaged)
    except Exception:  # whatever it is, it is a defect
        return "x"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before
    if grown > 2 * len(damaged) + (64 << 20):
        return "m"
    if found is None:
        return "r"
    # Not every file that is read: to use one takes a hundred times as long.
    if draw.random() < 0.2 and misuse(damaged) is not None:
        return "u"
    if any(found == said(file) for file in files):
        return "e"
    return "w" if name in SUMMED and not is_forged else "o"


def fuzz(name: str, options: Options) -> tuple[Figures, Outcomes]:
    """Return how reading ``options.n`` damaged files of a format ended."""
    case = partial(outcome, name, originals(name), options.seed)
    outcomes = run_cases(case, range(options.n), GOOD)
    figures: Figures = {"files": options.n}
    for letter, count in sorted(outcomes.counts.items()):
        figures[BAD.get(letter, letter)] = count
    return figures, outcomes


def guided(options: Options) -> tuple[Figures, Outcomes]:
    """Return what a run found that keeps the files which reach new branches."""
    # Written before the limits become small ones.
    whole, draw = seeds(), random.Random(options.seed)
    with small_limits():
        found = explore(whole, 60 * options.minutes, draw, read)
    figures: Figures = {
        "files": found.n_runs,
        "files in the corpus": len(found.corpus),
        "branches of the header parsers": found.n_branches,
        "of them reached": found.n_reached,
        "% reached": round(100 * found.n_reached / found.n_branches, 1),
        "another exception": len(found.errors),
    }
    outcomes = Outcomes()
    if found.errors:
        outcomes.defects["x"] = list(range(len(found.errors)))
        print("\n".join(found.errors), file=sys.stderr)
    return figures, outcomes


def seeds() -> list[bytes]:
    """Return the files that the guided run begins with."""
    collected = [path.read_bytes() for path in sorted(CORPUS.glob("*"))]
    whole = [data for name in FILES if name != "torch" for data in originals(name)]
    return [*collected, *whole, *ODD_FILES]


@contextmanager
def small_limits() -> Generator[None]:
    """Let files of a few kilobytes reach what only large ones do."""
    with (
        mock.patch.object(limits, "FREE", 1 << 13),
        mock.patch.object(json_reader, "_PIECE", 256),
        mock.patch.object(long_texts, "LONG", 1 << 10),
    ):
        yield


def read(data: bytes) -> None:
    """Read all of a file; anything but a `RecordError` is a defect."""
    try:
        record = open_record(data)
        record.load_all()
        record.extra()
    except RecordError:
        pass


def many_entries(options: Options) -> tuple[Figures, Outcomes]:
    """Return whether 200,000 entries of 4 bytes come back from every format."""
    outcomes = Outcomes()
    for number, name in enumerate(("mpk", "safetensors", "json")):
        outcomes.add(number, "e" if come_back(200_000, name) else "w", GOOD)
    return {"entries": 200_000, **outcomes.counts}, outcomes


def drawn(name: str, options: Options) -> tuple[Figures, Outcomes]:
    """Return how drawn configs ended; one takes a thousand times as long as a file."""
    return configs(name, max(options.n // 50, 10), options.seed)


def built(options: Options) -> tuple[Figures, Outcomes]:
    """Return how drawn constructors ended, by hand and by blueprint."""
    return constructors(max(options.n // 50, 10), options.seed)


def edited(options: Options) -> tuple[Figures, Outcomes]:
    """Return how drawn edits of blueprints ended."""
    return drawn_edits(max(options.n // 100, 10), options.seed)


def stepped(options: Options) -> tuple[Figures, Outcomes]:
    """Return how drawn optimizers ended on every engine."""
    return engines(max(options.n // 10, 10), options.seed)


def beside_torch(options: Options) -> tuple[Figures, Outcomes]:
    """Return how shipped optimizers ended, whatever ``options`` say of files."""
    return oracles()


def functions_of_torch(options: Options) -> tuple[Figures, Outcomes]:
    """Return how every function of torch was recorded, in each dtype."""
    outcomes, calls = Outcomes(), 0
    for dtype in DTYPES:
        file = str(every_function.__file__)
        words = [sys.executable, file, dtype, *SPACES]
        printed = subprocess.run(words, capture_output=True, text=True, check=True)
        results = json.loads(printed.stdout.splitlines()[-1])
        calls += results["calls"]
        for ending, name in (("recorded", "r"), ("wrong", "w")):
            for number in range(len(results[ending])):
                outcomes.add(number, name, {"r": "recorded, and right"})
    return {"calls": calls, **outcomes.counts}, outcomes


def sanitized(options: Options) -> tuple[Figures, Outcomes]:
    """Return how the C of drawn optimizers ran under sanitizers."""
    return sanitizers(max(options.n // 10, 10), options.seed)


Part = Callable[[Options], tuple[Figures, Outcomes]]

PARTS: dict[str, Part] = {
    **{f"damaged {name}": partial(fuzz, name) for name in FILES},
    **{f"configs: {name}": partial(drawn, name) for name in CASES},
    "constructors by hand and by blueprint": built,
    "edits of blueprints": edited,
    "steps on every engine": stepped,
    "functions of torch in a step": functions_of_torch,
    "their C under sanitizers": sanitized,
    "optimizers beside torch's": beside_torch,
    "200,000 entries in a file": many_entries,
    "guided by coverage": guided,
}


def _rows(text: str) -> dict[str, str]:
    """Return the rows of a written section by part; those not run now stay."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0][2:]: line for line in lines}


def main() -> int:
    """Run the parts, write the section, and return 1 if there was a defect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", action="append", choices=list(PARTS))
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--dry", action="store_true", help="write no page")
    given = parser.parse_args()
    torch.set_num_threads(1)
    options = Options(given.n, given.seed, given.minutes)
    rows, n_defects = _rows(section("fuzz")), 0
    for name in given.part or PARTS:
        start = time.monotonic()
        figures, outcomes = PARTS[name](options)
        seconds = time.monotonic() - start
        shown = ", ".join(f"{key}: {value:,}" for key, value in figures.items())
        shown += f", seed: {options.seed}"  # rows of other runs stand beside it
        rows[name] = f"| {name} | {shown} | {seconds:,.0f} s |"
        print(rows[name], flush=True)
        for letter, numbers in outcomes.defects.items():
            n_defects += len(numbers)
            print(f"  {BAD.get(letter, letter)}: {numbers[:20]}", file=sys.stderr)
    head = f"""## Hostile and damaged files (`make fuzz`)

Each file ends in a `RecordError`, or in a record: the one that was saved, or, where
the damage has right checksums, the one that it then is.
{n_defects} ended otherwise (another exception, a crash, a hang, memory out of
proportion, other values with intact checksums).
Seeds stand in the rows, torch {torch.__version__}.

| part | figures | time |
|---|---|---|
"""
    if not given.dry:
        kept = [rows[name] for name in PARTS if name in rows]
        write_section("fuzz", head + "\n".join(kept))
    return int(n_defects > 0)


if __name__ == "__main__":
    raise SystemExit(main())
