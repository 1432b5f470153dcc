import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import burnish.optim
from burnish.train import Checkpoints, ResumableLoader, ResumableSampler

from . import resumed_run
from .resumed_run import WAYS, Result, result_of

torch.set_num_threads(1)

OURS = [
    name
    for name in burnish.optim.__all__
    if isinstance(getattr(burnish.optim, name), type)
    and (
        issubclass(getattr(burnish.optim, name), burnish.optim.SimpleOptimizer)
        or name == "LBFGS"
    )
    and name != "SimpleOptimizer"
]
THEIRS = ["torch.Adam", "torch.SGD", "torch.Adagrad", "torch.LBFGS"]


def in_child(action: Callable[[], object]) -> int:
    """Return the status of a process that runs ``action``."""
    child = os.fork()
    if not child:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def assert_same(a: Result, b: Result) -> None:
    assert a.losses == b.losses
    assert a.lr == b.lr
    assert torch.equal(a.drawn, b.drawn)
    for name, tensor in a.weights.items():
        assert torch.equal(tensor, b.weights[name]), name


@pytest.mark.parametrize("name", [*OURS, *THEIRS])
@pytest.mark.parametrize("way", [*WAYS])
def test_a_killed_run_ends_with_the_bits_of_an_uninterrupted_one(
    way: str, name: str, tmp_path: Path
) -> None:
    expected = result_of(WAYS[way](tmp_path / "whole", name, 8, 0))

    def killed() -> None:
        WAYS[way](tmp_path / "run", name, 8, 5)

    def resumed() -> None:
        run = WAYS[way](tmp_path / "run", name, 8, 0)
        result_of(run).save(tmp_path / "result.mpk")

    assert os.WTERMSIG(in_child(killed)) == signal.SIGKILL
    assert in_child(resumed) == 0
    assert_same(Result.load(tmp_path / "result.mpk"), expected)


@pytest.mark.parametrize("way", [*WAYS])
def test_a_program_killed_from_outside_resumes_in_a_new_process(
    way: str, tmp_path: Path
) -> None:
    def program(folder: str, kill_at: int) -> subprocess.CompletedProcess[str]:
        file = str(resumed_run.__file__)
        words = [sys.executable, file, way, str(tmp_path / folder), "AdamW", "8"]
        return subprocess.run([*words, str(kill_at)], capture_output=True, text=True)

    expected = result_of(WAYS[way](tmp_path / "whole", "AdamW", 8, 0))
    assert program("run", 5).returncode == -signal.SIGKILL
    assert program("run", 0).returncode == 0

    assert_same(Result.load(tmp_path / "run/result.mpk"), expected)


def batches(loader: ResumableLoader[tuple[torch.Tensor, ...]]) -> list[list[float]]:
    return [batch[0].tolist() for batch in loader]


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(
    n_workers: int, tmp_path: Path
) -> None:
    data = TensorDataset(torch.arange(11.0))

    def loader() -> ResumableLoader[tuple[torch.Tensor, ...]]:
        return ResumableLoader(data, 3, shuffle=True, seed=1, num_workers=n_workers)

    whole = loader()
    first, second = batches(whole), batches(whole)
    stopped = loader()
    for i, _ in enumerate(stopped):
        if i == 1:
            Checkpoints(tmp_path).save(1, loader=stopped)
            break
    resumed = loader()
    Checkpoints(tmp_path).restore(loader=resumed)

    assert batches(resumed) == first[2:]
    assert batches(resumed) == second
    assert first != second
    assert sorted(x for batch in first for x in batch) == list(range(11))


def test_a_state_between_epochs_begins_the_next_one() -> None:
    sampler = ResumableSampler(5)
    first, resumed = [*sampler], ResumableSampler(5)

    resumed.load_state_dict(sampler.state_dict())

    second = [*sampler]
    assert [*resumed] == second
    assert first != second


def test_an_epoch_that_was_left_is_not_continued_by_itself() -> None:
    sampler = ResumableSampler(5, shuffle=False)
    assert next(iter(sampler)) == 0

    assert [*sampler] == [0, 1, 2, 3, 4]
    assert sampler.epoch == 2


def test_each_process_draws_its_share() -> None:
    shares = [[*ResumableSampler(7, rank=r, n_ranks=3)] for r in range(3)]

    assert {len(share) for share in shares} == {3}
    assert {i for share in shares for i in share} == set(range(7))


def test_other_data_is_refused() -> None:
    state = ResumableSampler(5).state_dict()

    with pytest.raises(ValueError, match="5 samples, and there are 6 now"):
        ResumableSampler(6).load_state_dict(state)


def test_a_loader_draws_nothing_of_the_common_generator() -> None:
    loader = ResumableLoader(TensorDataset(torch.arange(4.0)), 2, shuffle=True)
    before = torch.get_rng_state()

    batches(loader)

    assert torch.equal(torch.get_rng_state(), before)


def test_lengths_are_those_of_whole_epochs() -> None:
    data = TensorDataset(torch.arange(7.0))

    assert len(ResumableLoader(data, 3)) == len(batches(ResumableLoader(data, 3))) == 3
    dropping = ResumableLoader(data, 3, drop_last=True)
    assert len(dropping) == len(batches(dropping)) == 2


@pytest.mark.parametrize("n_workers", [0, 1])
def test_data_that_grows_is_met_by_the_next_epoch(n_workers: int) -> None:
    data: Any = [0, 1, 2, 3]
    loader: Any = ResumableLoader(data, 2, num_workers=n_workers)
    first = iter(loader)
    seen = next(first).tolist()

    data += [4, 5]
    length = len(loader)
    seen += [x for batch in first for x in batch.tolist()]

    assert (seen, length) == ([0, 1, 2, 3], 2)
    assert len(loader) == 3
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"sampler": [1, 2]}, "ResumableSampler"),
        ({"batch_sampler": [[1], [2]]}, "batch_size"),
        ({"generator": torch.Generator()}, "seed="),
    ],
)
def test_an_order_of_the_users_is_refused_with_what_to_do(
    options: Any, cure: str
) -> None:
    with pytest.raises(TypeError, match=f"order of its samples is its own.*{cure}"):
        ResumableLoader(TensorDataset(torch.arange(4.0)), **options)
