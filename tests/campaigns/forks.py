"""Cases run in a forked child, so that a crash or a hang is noticed and passed by."""

import os
import select
import signal
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import torch


@dataclass
class Outcomes:
    """How many cases ended how, and the numbers of those that must not end so."""

    counts: Counter[str] = field(default_factory=Counter[str])
    defects: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def add(self, number: int, outcome: str, good: dict[str, str]) -> None:
        """Note the outcome of a case."""
        name = good.get(outcome)
        self.counts[name or outcome] += 1
        if name is None:
            self.defects.setdefault(outcome, []).append(number)


def run_cases(
    case: Callable[[int], str],
    numbers: range,
    good: dict[str, str],
    *,
    seconds: float = 20,
) -> Outcomes:
    """Return what ``case`` says of each number: one letter, explained by ``good``.

    A case that takes over ``seconds`` is a hang, and one that ends the process a
    crash; the next child goes on behind it.
    """
    outcomes, at = Outcomes(), numbers.start
    while at < numbers.stop:
        child, pipe = _started(case, range(at, numbers.stop))
        while at < numbers.stop:
            ready, _, _ = select.select([pipe], [], [], seconds)
            letters = os.read(pipe, 1 << 16).decode() if ready else ""
            for letter in letters:
                outcomes.add(at, letter, good)
                at += 1
            if not letters:
                outcomes.add(at, "crash" if ready else "hang", good)
                at += 1
                os.kill(child, signal.SIGKILL)
                break
        os.close(pipe)
        os.waitpid(child, 0)
    return outcomes


def _started(case: Callable[[int], str], numbers: range) -> tuple[int, int]:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Of other threads, which hold no lock that a case takes.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.close(reading)
        # The parent's OpenMP threads are not here, and a team would wait for them.
        torch.set_num_threads(1)
        for number in numbers:
            os.write(writing, case(number).encode())
    finally:
        # Nothing of the parent may run in the child: no exit handler, no test.
        os._exit(0)
