"""Folders of checkpoints: whole, without pickle, and Lightning's own too."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.records import RecordChecksumError, RecordFormatError
from burnish.train import (
    load_lightning,
)

from ..killed import killed_everywhere
from .models import SHORT_RUNS, Net, Plain, data, trainer

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


def test_no_pickle_is_written_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)

    run = trainer(tmp_path, 1)
    run.fit(Net({}), datamodule=data())
    kept: Any = run.checkpoint_callback
    again = trainer(tmp_path, 2)
    again.fit(Net({}), datamodule=data(), ckpt_path=kept.last_model_path)

    assert again.current_epoch == 2


def test_checkpoints_that_lightning_wrote_are_read(tmp_path: Path) -> None:
    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)
    model = Plain(4)
    run = trainer(tmp_path, 1)
    run.fit(model, loader)
    run.save_checkpoint(tmp_path / "old.ckpt")

    again = load_lightning(Plain, str(tmp_path / "old.ckpt"))

    assert torch.equal(again.layer.weight, model.layer.weight)


def test_what_is_no_data_is_named_and_the_last_checkpoint_stays(
    tmp_path: Path,
) -> None:
    from burnish.train import RecordIO

    tree = {"state_dict": {"w": torch.ones(2)}, "global_step": 3}
    RecordIO().save_checkpoint(tree, tmp_path / "last")

    bad = {**tree, "hyper_parameters": {"act": nn.ReLU()}}
    with pytest.raises(TypeError, match=r"training\.hyper_parameters\.act: a "):
        RecordIO().save_checkpoint(bad, tmp_path / "last")

    back = RecordIO().load_checkpoint(tmp_path / "last")
    assert torch.equal(back["state_dict"]["w"], torch.ones(2))
    assert os.listdir(tmp_path) == ["last"]


def test_a_kill_while_the_last_is_replaced_leaves_one_of_both(tmp_path: Path) -> None:
    from burnish.train import RecordIO

    folder = tmp_path / "run"

    def prepare() -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        RecordIO().save_checkpoint(tree(1), folder / "last")
        return lambda: RecordIO().save_checkpoint(tree(2), folder / "last")

    def tree(n: int) -> dict[str, Any]:
        return {"state_dict": {"w": torch.full((2,), float(n))}, "global_step": n}

    n_kills = 0
    for _ in killed_everywhere(prepare):
        n_kills += 1
        back = RecordIO().load_checkpoint(folder / "last")
        assert back["state_dict"]["w"].tolist() == [float(back["global_step"])] * 2
    assert n_kills > 10


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    from burnish.train import RecordIO

    tree = {"state_dict": {"w": torch.arange(100.0)}, "global_step": 3}
    RecordIO().save_checkpoint(tree, tmp_path / "last")
    data = bytearray((tmp_path / "last/model.mpk").read_bytes())
    data[-100] ^= 4
    (tmp_path / "last/model.mpk").write_bytes(data)

    with pytest.raises((RecordChecksumError, RecordFormatError), match=r"model\.mpk"):
        RecordIO().load_checkpoint(tmp_path / "last")
