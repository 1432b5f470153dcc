"""Races of optimizers, each pair in a process where nothing else has run.

A second team of threads in a process slows torch and flatters its rival.
"""

import time
from collections.abc import Callable
from typing import Literal

import torch
from harness import Row, Samples, forked, race
from optim_sets import SETS, Parameters, repeated
from torch import nn

Made = Callable[[nn.Module], torch.optim.Optimizer]
PAIRS = 21
LONG_PAIRS = 11
"""Of steps that take long: what disturbs a few of them is a small part of each."""
LONG = 0.1
"""Seconds."""


def raced(
    question: str,
    name: str,
    ours: Made,
    peer: Made,
    *,
    threads: int = 1,
    at_most: float | None = None,
    shapes: list[tuple[int, ...]] | None = None,
) -> Row:
    """Return the row of ``ours`` against ``peer`` on a set of parameters.

    One thread is timed by its CPU clock, several by the wall's.
    """
    chosen = SETS[name]() if shapes is None else shapes
    times = 200 if sum(map(len, chosen)) < 100 else 1

    def measure() -> dict[str, list[list[float]]]:
        torch.set_num_threads(threads)
        modules = [Parameters(chosen), Parameters(chosen)]
        steps = [made(m).step for made, m in zip((ours, peer), modules, strict=True)]
        for step in steps:
            step()
        began = time.perf_counter()
        for step in steps:
            step()
        is_long = time.perf_counter() - began > 2 * LONG
        runners = {
            "ours": repeated(steps[0], times),
            "peer": repeated(steps[1], times),
        }
        pairs = LONG_PAIRS if is_long else PAIRS
        found = race(runners, pairs=pairs, clock=time.thread_time)
        return {k: [s.cpu, s.wall] for k, s in found.items()}

    samples = {
        k: Samples([t / times for t in cpu], [t / times for t in wall])
        for k, (cpu, wall) in forked(measure).items()
    }
    case = f"{name}, {threads} thread{'s' * (threads > 1)}"
    by: Literal["cpu", "wall"] = "cpu" if threads == 1 else "wall"
    return Row.timed(
        question, case, samples["ours"], samples["peer"], at_most=at_most, by=by
    )
