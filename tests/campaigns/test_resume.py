"""Runs that stop or are killed, as many as fit in a test; `make resume` has more."""

from pathlib import Path

import pytest
import torch

from . import resume
from .resumed import WAYS, Case, begun, difference, digest, drawn, train

# Threads of a parent's pool are not in its children.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path))


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_another_process_continues_ends_with_the_same_bits(way: str) -> None:
    n = 2 if way == "Lightning" else 4

    outcomes = resume.stops(n, 1, (way,))

    assert outcomes.counts == {"equal to the bit": n}


def test_a_run_killed_at_random_moments_ends_with_the_same_bits() -> None:
    outcomes = resume.kills(2, 1)

    assert outcomes.counts == {"equal to the bit": 2}


def test_a_digest_sees_every_part_of_a_run() -> None:
    case: Case = drawn(0, 0)
    run = begun(case)
    train(case, run, 2)
    torch.manual_seed(0)
    before = digest(run)

    def changed() -> str:
        torch.manual_seed(0)
        return digest(run)

    assert changed() == before
    run.net.norm.weight.requires_grad_(False)
    frozen = changed()
    run.net.norm.weight.requires_grad_(True)
    with torch.no_grad():
        run.net.norm.weight[0] += 1
    moved = changed()

    assert len({before, frozen, moved, digest(run)}) == 4


def test_what_differs_is_told() -> None:
    assert difference("ab", "ab", "cd") == ""
    assert difference("ab", "ac", "cd") == "other bits"
    assert difference("ab", "ValueError: x", "cd") == "ValueError: x"
    assert difference("", "", "cd") != ""
