"""``burnish schedule``: plot a schedule before a run uses it."""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .errors import answering
from .json_output import print_json
from .terminal import console
from .words import add_json, parser

if TYPE_CHECKING:
    from ..config.schedule import Schedule

ABOUT = "plot a schedule of a number, as written in configs"

_EXAMPLES = """
burnish schedule 'step: 0.0@0 lin 1.0@100 cos 0.1@1000'
burnish schedule 'step: 1.0@0 exp 0.01@500' --at 250
"""

_ROWS = 10


def main(argv: Sequence[str]) -> int:
    """Plot the schedule in ``argv``, and return the exit status."""
    options = _parser().parse_args(argv)
    return answering(lambda: _run(options))


def _parser() -> ArgumentParser:
    words = parser("schedule", ABOUT, _EXAMPLES)
    words.add_argument("text", help="KEY: VALUE@X lin|cos|exp|step VALUE@X ...")
    about = "print only the value at X; may be given several times"
    words.add_argument("--at", metavar="X", type=float, action="append", help=about)
    about = "save the plot to a file (.png, .svg, .pdf), with matplotlib"
    words.add_argument("--plot", metavar="FILE", help=about)
    add_json(words)
    return words


def _run(options: Namespace) -> int:
    from ..config.schedule import Schedule, plot

    if any(math.isnan(x) for x in options.at or ()):
        raise ValueError("--at takes a number, got nan")
    schedule = Schedule.parse(options.text)
    if options.plot is not None:
        plot(schedule, options.plot)
    if options.json:
        _print_json(schedule, options.at)
    elif options.at:
        for x in options.at:
            print(f"{x:g}: {schedule(x):.6g}")
    elif options.plot is None:
        _draw(schedule)
    return 0


def _print_json(schedule: "Schedule", xs: Sequence[float] | None) -> None:
    samples = schedule.samples(101) if xs is None else [(x, schedule(x)) for x in xs]
    content = {
        "text": schedule.text,
        "key": schedule.key,
        "points": schedule.points,
        "joins": schedule.joins,
        "samples": samples,
    }
    print_json("schedule", content)


def _draw(schedule: "Schedule") -> None:
    """Print the curve in blocks, with values beside it and its points below."""
    width = min(console().width, 100)
    labels = [f"{value:.4g}" for value in _scale(schedule)]
    margin = max(map(len, labels)) + 2
    for label, row in zip(
        labels, _rows(schedule, max(10, width - margin)), strict=True
    ):
        print(f"{label:>{margin - 2}} ┤{row}".rstrip())
    begin, end = schedule.samples(2)
    ends = f"{begin[0]:g}", f"{end[0]:g}"
    gap = max(1, width - margin - len(ends[0]) - len(ends[1]))
    print(f"{'':{margin - 1}}{ends[0]}{' ' * gap}{ends[1]}")
    print(
        f"{schedule.key}; " + ", ".join(f"{v:g} at {x:g}" for x, v in schedule.points)
    )


def _scale(schedule: "Schedule") -> list[float]:
    values = [value for _, value in schedule.samples(400)]
    top, bottom = max(values), min(values)
    steps = _ROWS - 1
    # A start plus a difference may miss the end by a rounding error.
    return [top * ((steps - i) / steps) + bottom * (i / steps) for i in range(_ROWS)]


def _rows(schedule: "Schedule", width: int) -> list[str]:
    """Return the lines of a filled curve, drawn to an eighth of a line."""
    values = [value for _, value in schedule.samples(width)]
    top, bottom = max(values), min(values)
    # Halved, since the difference of two large floats of opposite sign overflows.
    span = top / 2 - bottom / 2
    heights = [(v / 2 - bottom / 2) / span if span else 1.0 for v in values]
    eighths = [1 + round(height * (8 * _ROWS - 1)) for height in heights]
    return [
        "".join(_BLOCKS[min(8, max(0, n - 8 * level))] for n in eighths)
        for level in reversed(range(_ROWS))
    ]


_BLOCKS = " ▁▂▃▄▅▆▇█"
