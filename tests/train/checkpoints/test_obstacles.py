"""Something else stands where checkpoints should be: no run begins anew in silence."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from burnish.records import RecordFormatError
from burnish.train import Checkpoints

from ..hyperstate.states import advance, load


def put_file(place: Path) -> None:
    place.write_text("")


def put_dangling_link(place: Path) -> None:
    place.symlink_to(place.parent / "unmounted")


OBSTACLES = (put_file, put_dangling_link)


@pytest.mark.parametrize("inside", ["", "inner"])
@pytest.mark.parametrize("put", OBSTACLES)
def test_what_is_no_folder_of_checkpoints_is_named_at_once(
    put: Callable[[Path], None], inside: str, tmp_path: Path
) -> None:
    put(tmp_path / "run")
    net = nn.Linear(2, 2)
    checkpoints = Checkpoints(tmp_path / "run" / inside)
    uses: list[Callable[[], object]] = [
        lambda: checkpoints.restore(net=net),
        lambda: checkpoints.restore(3, net=net),
        lambda: checkpoints.save(1, net=net),
        lambda: checkpoints.latest,
        lambda: checkpoints.steps,
        lambda: checkpoints.best,
        lambda: checkpoints["latest"],
        lambda: 3 in checkpoints,
        lambda: load(tmp_path / "run" / inside),
    ]

    for use in uses:
        with pytest.raises(NotADirectoryError, match=r"run'"):
            use()

    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("put", OBSTACLES)
def test_checkpoints_that_are_out_of_reach_can_be_printed_and_say_so(
    put: Callable[[Path], None], tmp_path: Path
) -> None:
    put(tmp_path / "run")

    assert "checkpoints need a folder, but this is a" in repr(
        Checkpoints(tmp_path / "run")
    )


def test_a_link_to_a_folder_of_checkpoints_is_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    checkpoints = Checkpoints(tmp_path / "run")

    assert checkpoints.restore(net=nn.Linear(2, 2)) == 0
    checkpoints.save(4, net=nn.Linear(2, 2))
    assert checkpoints.restore(net=nn.Linear(2, 2)) == 4


@pytest.mark.parametrize("put", OBSTACLES)
@pytest.mark.parametrize("name", ["", "checkpoint.json"])
def test_a_newest_checkpoint_that_is_no_folder_of_one_is_no_older_run(
    name: str, put: Callable[[Path], None], tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        saved = checkpoints.save(step, net=nn.Linear(2, 2))
    place = Path(saved.folder) / name
    shutil.rmtree(place) if not name else place.unlink()
    put(place)

    with pytest.raises(RecordFormatError, match=r"000002"):
        checkpoints.restore(net=nn.Linear(2, 2))

    place.unlink()
    shutil.rmtree(saved.folder, ignore_errors=True)
    assert checkpoints.restore(net=nn.Linear(2, 2)) == 1


@pytest.mark.parametrize("put", OBSTACLES)
def test_a_newest_state_that_is_no_folder_of_one_begins_no_run_anew(
    put: Callable[[Path], None], tmp_path: Path
) -> None:
    advance(load(tmp_path), 5)
    folder = tmp_path / "latest-step000000000005"
    shutil.rmtree(folder)
    put(folder)

    with pytest.raises(RecordFormatError, match=r"000005"):
        load(tmp_path)


def test_generators_that_are_a_dangling_link_are_missed(tmp_path: Path) -> None:
    advance(load(tmp_path), 5)
    file = tmp_path / "latest-step000000000005" / "rng.mpk"
    file.unlink()
    put_dangling_link(file)

    with pytest.raises(FileNotFoundError, match=r"rng\.mpk"):
        load(tmp_path)
    assert torch.is_tensor(load(tmp_path, rng=False).state.net.layer.weight)
