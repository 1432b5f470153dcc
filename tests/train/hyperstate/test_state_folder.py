"""The folder of a checkpoint: whole, or not taken."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import RecordFormatError
from burnish.train import HyperState

from ..killed import killed_everywhere
from .states import Config, State, advance, begin, load

torch.set_num_threads(1)


def test_one_folder_with_config_state_and_a_file_per_object(tmp_path: Path) -> None:
    run = load(tmp_path)

    advance(run, 50)

    assert os.listdir(tmp_path) == ["latest-step000000000050"]
    texts = {"config.ron", "state.ron", "digests.txt"}
    records = {"state.net.mpk", "state.optim.mpk", "rng.mpk"}
    assert set(os.listdir(tmp_path / "latest-step000000000050")) == texts | records
    advance(run, 60)
    assert os.listdir(tmp_path) == ["latest-step000000000060"]


def test_step_twice_at_one_key_keeps_the_checkpoint(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 5)
    run.state.seen = [1]

    advance(run, 5)
    again = load(tmp_path)
    advance(run, 6)

    assert again.state.seen == [1]
    assert load(tmp_path).state.step == 6


def test_foreign_and_half_written_folders_are_not_taken(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 5)
    for name in (
        "latest-other999999999999",
        "backup-step000000000999",
        ".latest-step000000000006.00000000.tmp",
    ):
        (tmp_path / name).mkdir()

    assert load(tmp_path).state.step == 5


def test_a_newest_folder_that_a_copy_left_empty_is_told(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 5)
    (tmp_path / "latest-step999999999999").mkdir()

    with pytest.raises(RecordFormatError, match=r"without state\.ron.*step 5"):
        load(tmp_path)


def test_a_kill_anywhere_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    @dataclass
    class Tiny:
        step: int
        tensor: torch.Tensor

    def open_run(folder: Path) -> HyperState[Config, Tiny]:
        return HyperState.load(
            Config, Tiny, lambda _: Tiny(0, torch.zeros(2)), checkpoint_dir=folder
        )

    folder = tmp_path / "run"
    run = open_run(folder)
    advance(run, 1)
    shutil.copytree(folder, tmp_path / "start")

    def prepare() -> Any:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "start", folder)
        next_run = open_run(folder)
        next_run.state.tensor = torch.full((2,), 2.0)
        return lambda: advance(next_run, 2)

    n_kills = 0
    for _ in killed_everywhere(prepare, stride=3):
        n_kills += 1
        state = open_run(folder).state
        assert state.step in (1, 2)
        assert state.tensor.tolist() == [0.0, 0.0] if state.step == 1 else [2.0, 2.0]
    assert n_kills > 5
    assert open_run(folder).state.tensor.tolist() == [2.0, 2.0]


def test_a_newest_folder_without_its_state_begins_no_run_anew(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 5)
    folder = tmp_path / "latest-step000000000005"
    (folder / "state.ron").unlink()

    with pytest.raises(RecordFormatError, match=r"without state\.ron.*remove it"):
        load(tmp_path)
    with pytest.raises(RecordFormatError, match=r"without state\.ron.*remove it"):
        HyperState.load(Config, State, begin, tmp_path)

    shutil.rmtree(folder)
    assert load(tmp_path).state.step == 0
