"""Runs with Lightning end with the same bits, resumed or not."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.train import (
    RecordCheckpoint,
)
from burnish.train.lightning.record_io import read_checkpoint

from .models import SHORT_RUNS, Net, Plain, data, run_of, trainer

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


def test_two_way_splits_and_no_checkpoints_work(tmp_path: Path) -> None:
    run = trainer(tmp_path, 1, enable_checkpointing=False)

    run.fit(Net({"checkpoint": None}), datamodule=data(split=(0.8, 0.2)))

    assert run.current_epoch == 1
    assert os.listdir(tmp_path) == []


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    chosen = {
        "optimizer": {"module_name": "burnish.optim.AdamW", "kwargs": {"lr": 0.01}},
        "scheduler": {
            "module_name": "CosineAnnealingLR",
            "kwargs": {"T_max": 10},
            "interval": "step",
        },
    }

    whole = run_of(tmp_path / "whole", 4, chosen, None)
    run_of(tmp_path / "part", 2, chosen, None)
    last = tmp_path / "part/checkpoints/last"
    torch.rand(11)
    resumed = run_of(tmp_path / "part", 4, chosen, str(last))

    assert torch.equal(whole.layer.weight, resumed.layer.weight)


def test_fit_fast_trains_with_adam_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Net({"optimizer": {"module_name": "torch.optim.SGD"}})
    before = model.layer.weight.clone()
    made = data()

    monkeypatch.chdir(tmp_path)
    run = model.fit_fast(made.train_loader, made.val_loader, lr=0.5, verbose=False)

    assert type(run.optimizers[0]) is torch.optim.Adam
    assert run.optimizers[0].param_groups[0]["lr"] == 0.5
    assert run.logger is None
    assert not torch.equal(before, model.layer.weight)
    assert os.listdir(tmp_path) == []
    assert model.thparams.optimizer.module_name == "torch.optim.SGD"


def test_without_lightning_the_cure_is_told() -> None:
    code = (
        "import sys; sys.modules['lightning'] = None\n"
        "try:\n    from burnish.train import Model\n"
        "except ImportError as error:\n    print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "pip install 'burnish[train]'" in done.stdout


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_resumed_in_the_middle_of_an_epoch_ends_with_the_same_bits(
    every: int, tmp_path: Path
) -> None:
    def run_in(folder: Path, n_steps: int, resume: str | None = None) -> Net:
        torch.manual_seed(7)
        model = Net({"checkpoint": None})
        callback = RecordCheckpoint(
            dirpath=folder, every_n_train_steps=every, save_last=True, save_top_k=1
        )
        run = trainer(folder, 5, max_steps=n_steps, callbacks=[callback])
        run.fit(model, datamodule=data(), ckpt_path=resume)
        return model

    whole = run_in(tmp_path / "whole", 12)
    run_in(tmp_path / "part", 3)
    torch.rand(5)

    resumed = run_in(tmp_path / "part", 12, str(tmp_path / "part/last"))

    assert torch.equal(whole.layer.weight, resumed.layer.weight)


class Dropped(Plain):
    """Draws in every step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        dropped = nn.functional.dropout(batch[0], 0.5)
        loss: Tensor = self.layer(dropped).square().mean()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def dropped_run(folder: Path, n_epochs: int, resume: Path | None = None) -> Plain:
    """Train on batches that torch's own loader shuffles."""
    torch.manual_seed(7)
    model = Dropped(4)
    generator = torch.Generator().manual_seed(1)
    rows = TensorDataset(torch.randn(20, 10, generator=generator))
    callback = RecordCheckpoint(dirpath=folder, save_last=True)
    run = trainer(folder, n_epochs, callbacks=[callback])
    run.fit(model, DataLoader(rows, 5, shuffle=True), ckpt_path=resume)
    return model


def test_a_run_resumed_after_an_epoch_draws_order_and_dropout_as_uninterrupted(
    tmp_path: Path,
) -> None:
    whole = dropped_run(tmp_path / "whole", 4)
    dropped_run(tmp_path / "part", 2)

    resumed = dropped_run(tmp_path / "part", 4, tmp_path / "part/last")

    assert torch.equal(whole.layer.weight, resumed.layer.weight)


def test_another_number_of_processes_is_told_that_it_draws_other_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped_run(tmp_path / "one", 1)
    assert "random_generators" in read_checkpoint(tmp_path / "one/last")
    module = "burnish.train.checkpoints.process_generators"
    monkeypatch.setattr(f"{module}.n_processes", lambda: 2)

    with pytest.warns(UserWarning, match="of a different number of processes"):
        dropped_run(tmp_path / "one", 2, tmp_path / "one/last")
