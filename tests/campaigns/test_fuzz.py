"""Damaged files of every format, as many as a test may take; `make fuzz` takes more."""

import os
import random
import signal
import sys

import pytest

from ..records.hostile_files import FILES
from .forks import run_cases
from .fuzz import CORPUS, GOOD, Options, fuzz, read, small_limits
from .guided import explore
from .many import come_back


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_read_and_then_of_use(name: str) -> None:
    _, outcomes = fuzz(name, Options(n=120, seed=1))

    assert outcomes.defects == {}
    assert outcomes.counts["refused"] > 50


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="branches are those of the code of Python 3.11"
)
def test_the_corpus_reaches_most_branches_of_the_header_parsers() -> None:
    seeds = [path.read_bytes() for path in sorted(CORPUS.iterdir())]

    with small_limits():
        found = explore(seeds, 0, random.Random(0), read)

    assert found.errors == []
    assert found.n_reached >= 0.9 * found.n_branches
    assert sum(map(len, seeds)) < 2 << 20


@pytest.mark.parametrize("name", ["mpk", "safetensors"])
def test_very_many_small_entries_come_back(name: str) -> None:
    # `make fuzz` takes 200,000, which is too slow for a test.
    assert come_back(5_000, name)


def test_a_crash_and_a_hang_are_noticed_and_passed_by() -> None:
    def case(number: int) -> str:
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 4:
            signal.pause()
        return "r" if number else "x"

    outcomes = run_cases(case, range(6), GOOD, seconds=1)

    assert outcomes.counts == {"refused": 3, "x": 1, "crash": 1, "hang": 1}
    assert outcomes.defects == {"x": [0], "crash": [2], "hang": [4]}
