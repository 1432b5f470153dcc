"""A run that saves beside checkpoints of later steps is told, once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from burnish.train import Checkpoints, HyperState


def steps_saved(folder: Any, *steps: int, **options: Any) -> Checkpoints:
    checkpoints = Checkpoints(folder, **options)
    for step in steps:
        checkpoints.save(step, data={"step": step})
    return checkpoints


@pytest.mark.parametrize("keep_last", [1, 3, None])
def test_a_run_that_went_back_is_warned_of_what_it_left(
    tmp_path: Path, keep_last: int | None
) -> None:
    checkpoints = steps_saved(tmp_path, 1, 2, 3, 4, keep_last=keep_last)

    with pytest.warns(RuntimeWarning) as caught:
        checkpoints.save(2, data={"step": 2})
    checkpoints.save(3, data={"step": 3})

    assert len(caught) == 1
    later = "4" if keep_last == 1 else "3, 4"
    text = f"a checkpoint of step 2 is saved beside later ones ({later})"
    assert text in str(caught[0].message)
    assert "resuming from the newest takes 4" in str(caught[0].message)


def test_another_run_in_the_same_folder_is_warned(tmp_path: Path) -> None:
    steps_saved(tmp_path, 10)

    with pytest.warns(RuntimeWarning, match="Each run needs its own folder"):
        steps_saved(tmp_path, 0, 1)


def test_a_run_that_another_one_overtakes_is_warned(tmp_path: Path) -> None:
    slow = steps_saved(tmp_path, 1)
    steps_saved(tmp_path, 2, 3, 4)

    with pytest.warns(
        RuntimeWarning, match=r"step 2 is saved beside later ones \(3, 4"
    ):
        slow.save(2, data={})


def test_a_step_that_is_saved_again_is_the_newest_still(tmp_path: Path) -> None:
    steps_saved(tmp_path, 1, 2, 2)

    assert Checkpoints(tmp_path).steps == [1, 2]


def test_a_storage_is_asked_where_a_run_begins_and_where_it_goes_back() -> None:
    url = "memory://later-folders/run"
    checkpoints = steps_saved(url, 1, 2)
    checkpoints.restore(1, data={})

    with pytest.warns(RuntimeWarning, match=r"step 1 is saved beside later ones \(2\)"):
        checkpoints.save(1, data={})
    with pytest.warns(RuntimeWarning, match="saved beside later ones"):
        steps_saved(url, 0)


@dataclass
class State:
    step: int = 0


@dataclass
class Config:
    lr: float = 0.1


def run_at(step: int, folder: Path, keep_last: int) -> HyperState[Config, State]:
    run = HyperState.load(
        Config, State, lambda _: State(), checkpoint_dir=folder, keep_last=keep_last
    )
    run.state.step = step
    run.step()
    return run


@pytest.mark.parametrize(
    ("keep_last", "outcome"),
    [
        (1, "are removed once this one is complete"),
        (3, "resuming from the newest takes 5"),
    ],
)
def test_a_hyperstate_says_whether_later_states_stay(
    tmp_path: Path, keep_last: int, outcome: str
) -> None:
    run = run_at(5, tmp_path, keep_last)
    run.state.step = 2

    with pytest.warns(RuntimeWarning, match=outcome):
        run.step()
    run.state.step = 3
    run.step()

    again = HyperState.load(Config, State, lambda _: State(), checkpoint_dir=tmp_path)
    assert again.state.step == (3 if keep_last == 1 else 5)
