"""Configs by the thousand: class pairs, round trips of drawn types, and broken texts.

python -m tests.campaigns.configs [--n N] [--seed S]
"""

import argparse
import random
import sys
from collections.abc import Callable
from functools import partial

from burnish.config import ConfigError, Schedule, dumps, load, loads

from ..config.schema.schema_pairs import FORMATS, Classes, Draw, disagreement, trees
from .forks import Outcomes, run_cases

GOOD = {"e": "as it should be", "r": "refused"}

Case = Callable[[int, int], str]


def pair(seed: int, number: int) -> str:
    """Compare the schema checker's word on a pair of classes with loading old files."""
    return "x" if disagreement(seed + number) else "e"


def round_trip(seed: int, number: int) -> str:
    """Write a drawn class's objects in every format, elided or not, and read them."""
    draw = Draw(random.Random(f"{seed} {number}"))
    kind = draw.struct(4)
    classes = Classes(kind)
    for tree in trees(kind)[:6]:
        value = classes.value_of(kind, tree)
        for format in FORMATS:
            for elide in (False, True):
                try:
                    text = dumps(value, format, elide_defaults=elide)
                except ConfigError:
                    continue
                again = loads(classes.cls, text, format)
                if again != value or repr(again) != repr(value):
                    return "x"
    return "e"


_PIECES = [
    "(", ")", "[", "]", "{", "}", ":", ",", '"', "'", "\\", "=", ".", "@", "#", "!",
    "&a ", "*a", "<<: ", "- ", "\n", "\n  ", "? ", "| ", "> ", "%", "r#", "/*", "*/",
    "//", "0x", "1e9", "-", "+", "_", "inf", "NaN", "None", "Some(", "true", "null",
    "lin", "cos", "exp", "step: ", "1@0", "width", "rate", "k0", "²", "\u2028", "\x00",
    "\ud800", "9" * 5000, "a" * 300,
]  # fmt: skip


def broken_text(seed: int, number: int) -> str:
    """Read a written text with damage, and overrides and schedules of odd pieces."""
    rng = random.Random(f"{seed} {number}")
    draw = Draw(rng)
    kind = draw.struct(2)
    classes = Classes(kind)
    value = classes.value_of(kind, rng.choice(trees(kind)))
    format = rng.choice(FORMATS)
    outcome = "r"
    try:
        text = dumps(value, format)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text) + 1)
            piece = rng.choice(_PIECES)
            text = text[:at] + piece + text[at + rng.randint(0, 3) :]
        loads(classes.cls, text, format)
        outcome = "e"
    except ConfigError as error:
        if len(str(error)) > 100_000:
            return "x"
    words = "".join(rng.choices(_PIECES, k=rng.randint(1, 6)))
    for act in (
        lambda: load(classes.cls, {}, [f"{words}={words}", f"width.{words}=1"]),
        lambda: Schedule.parse(f"step: {words}"),
    ):
        try:
            act()
        except ValueError:  # ConfigError is one
            continue
    return outcome


CASES: dict[str, Case] = {
    "class pairs": pair,
    "round trips": round_trip,
    "broken texts": broken_text,
}


def configs(name: str, n: int, seed: int) -> tuple[dict[str, int | float], Outcomes]:
    """Return how ``n`` cases of a kind ended."""
    outcomes = run_cases(partial(CASES[name], seed), range(n), GOOD, seconds=60)
    figures: dict[str, int | float] = {"cases": n, **outcomes.counts}
    return figures, outcomes


def main() -> int:
    """Run every kind, print the figures, and return 1 if there was a defect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    status = 0
    for name in CASES:
        figures, outcomes = configs(name, given.n, given.seed)
        print(name, figures, flush=True)
        if outcomes.defects:
            status = 1
            print(outcomes.defects, file=sys.stderr)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
