"""What does looking for edits at each step cost a run whose steps take 1 ms?

Peer: a loop that keeps the time and the size of the file by hand, with `os.stat`, and
reads it when they change; nobody edits here. The file lies in memory, and looks are
counted with what `HyperState.step` does besides, but for saving.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import Row, Samples, race, scratch

from burnish.config import Editable
from burnish.train import HyperState

LOOKS = 20_000
STEPS = 300
STEP_SECONDS = 1e-3


@dataclass
class Config:
    lr: Editable[float] = 0.1
    width: int = 32


@dataclass
class State:
    step: int


def run() -> list[Row]:
    with scratch() as folder:
        step = HyperState.load(
            Config, State, lambda _: State(1), checkpoint_dir=folder, every=1 << 60
        ).step
        by_hand = stat_by_hand(Path(folder, "config.ron"))
        # The file has to be older than what a look waits for.
        time.sleep(0.5)
        step()
        looks = race({"ours": often(step, LOOKS), "peer": often(by_hand, LOOKS)})
        work = work_of(STEP_SECONDS)
        steps = race(
            {"ours": often(step, STEPS, work), "peer": often(by_hand, STEPS, work)}
        )
    ours, peer = looks["ours"], looks["peer"]
    return [
        Row.bounded(
            "HyperState.step that looks",
            "a step of 1 ms",
            share(ours),
            "% of a step",
            at_most=0.5,
            peer=share(peer),
        ),
        Row.timed("alone", f"{LOOKS:,} looks", ours, peer),
        Row.timed("between work", f"{STEPS} steps", steps["ours"], steps["peer"]),
    ]


def stat_by_hand(file: Path) -> Callable[[], object]:
    """Return the look of a loop that was written by hand."""
    known = (0, 0)
    text = ""

    def look() -> None:
        nonlocal known, text
        status = os.stat(file)
        signature = (status.st_mtime_ns, status.st_size)
        if signature != known:
            known, text = signature, file.read_text()

    return look


def often(
    look: Callable[[], object], n: int, work: Callable[[], object] | None = None
) -> Callable[[], None]:
    """Return ``n`` looks, each after a piece of work if there is any."""

    def alone() -> None:
        for _ in range(n):
            look()

    if work is None:
        return alone

    def between_work() -> None:
        for _ in range(n):
            work()
            look()

    return between_work


def work_of(seconds: float) -> Callable[[], object]:
    """Return a piece of work that takes ``seconds`` of the CPU."""
    n = 1000
    while True:
        begun = time.process_time()
        sum(range(n))
        if time.process_time() - begun >= seconds:
            return lambda: sum(range(n))
        n += n // 50


def share(looks: Samples) -> float:
    """Return what one look takes of a step, in percent; the median of the rounds."""
    cpu = sorted(looks.cpu)[len(looks.cpu) // 2]
    return 100 * cpu / LOOKS / STEP_SECONDS
