"""A model from its checkpoint, without a trainer's callback."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records.errors import ForeignFileError
from burnish.train import load_lightning

from .models import SHORT_RUNS, Net, Width, data, run_of, trainer

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


def test_the_last_checkpoint_loads_with_default_settings(tmp_path: Path) -> None:
    model = Net(
        {"d": 5, "early_stopping": {"patience": 9}, "scheduler": None, "optimizer": {}}
    )
    run = trainer(tmp_path, 2)
    run.fit(model, datamodule=data())
    kept: Any = run.checkpoint_callback

    again = Net.load_from_checkpoint(kept.last_model_path)

    assert again.thparams == model.thparams
    assert torch.equal(again.layer.weight, model.layer.weight)
    assert sorted(os.listdir(kept.last_model_path)) == [
        "checkpoint.json",
        "model.mpk",
        "training.mpk",
    ]


def test_a_trainer_without_the_callback_reads_the_folder_into_a_model(
    tmp_path: Path,
) -> None:
    run_of(tmp_path, 1, {}, None)
    quiet = trainer(tmp_path / "other", 2, enable_checkpointing=False)
    last = tmp_path / "checkpoints/last"
    model = Net({"checkpoint": None})

    with pytest.warns(UserWarning, match="RecordCheckpoint"):
        quiet.fit(model, datamodule=data(), ckpt_path=str(last))

    assert quiet.current_epoch == 2
    quiet.save_checkpoint(tmp_path / "plain.ckpt")
    assert (tmp_path / "plain.ckpt").is_file()


class Renamed(Net):
    """Its constructor takes the hyperparameters under another name, and more."""

    def __init__(self, config: Width, scale: float = 2.0) -> None:
        super().__init__(config)
        self.scale = scale


class Bare(Net):
    def __init__(self, options: Any) -> None:
        super().__init__(options)


@pytest.mark.parametrize("cls", [Renamed, Bare])
@pytest.mark.parametrize("is_record", [True, False])
def test_the_argument_of_a_model_may_have_any_name(
    tmp_path: Path, cls: Any, is_record: bool
) -> None:
    model = cls({"d": 7} if is_record else {"d": 7, "checkpoint": None})
    run = trainer(tmp_path, 1, enable_checkpointing=is_record)
    run.fit(model, datamodule=data())
    if is_record:
        path: Any = run.checkpoint_callback.last_model_path  # type: ignore[union-attr]
    else:
        path = tmp_path / "plain.ckpt"
        run.save_checkpoint(path)

    again = cls.load_from_checkpoint(path)

    assert again.thparams == model.thparams
    assert torch.equal(again.layer.weight, model.layer.weight)


def test_an_argument_that_the_class_does_not_have_is_an_error(tmp_path: Path) -> None:
    run_of(tmp_path, 1, {}, None)

    with pytest.raises(TypeError, match="unexpected keyword argument 'widht'"):
        load_lightning(Net, tmp_path / "checkpoints/last", widht=3)


@pytest.mark.parametrize("reads", ["load_lightning", "ckpt_path"])
def test_a_path_beside_a_checkpoint_is_an_error_that_names_the_checkpoint(
    tmp_path: Path, reads: str
) -> None:
    run_of(tmp_path, 1, {}, None)
    run, last = tmp_path / "checkpoints", tmp_path / "checkpoints/last"

    def read(path: Path) -> None:
        if reads == "load_lightning":
            load_lightning(Net, path)
        else:
            model = Net({"checkpoint": None})
            trainer(tmp_path, 2).fit(model, datamodule=data(), ckpt_path=path)

    with pytest.raises(IsADirectoryError, match=r"with checkpoints in .*last"):
        read(run)
    with pytest.raises(ForeignFileError, match=f"Pass the folder .*{last}'"):
        read(last / "model.mpk")
