"""A scheduler that watches a metric goes on as in a run that was not stopped."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from burnish.train import RecordCheckpoint, ResumableLoader

from .models import SHORT_RUNS, trainer

torch.set_num_threads(1)

pytestmark = SHORT_RUNS

N_BATCHES = 4
DATA = TensorDataset(torch.randn(32, 3, generator=torch.Generator().manual_seed(0)))


class Watching(LightningModule):
    """A module whose rate falls by what its scheduler watches."""

    def __init__(self, monitor: str, **settings: Any) -> None:
        super().__init__()
        self.layer, self.monitor, self.settings = nn.Linear(3, 1), monitor, settings
        self.rates: list[tuple[int, float]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch[0]).square().mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        (optimizer,) = self.trainer.optimizers
        self.rates.append((self.trainer.global_step, optimizer.param_groups[0]["lr"]))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        # A loss that only grows: the rate falls after every epoch but the first.
        self.log("val_loss", float(self.trainer.global_step))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.5)
        is_growing = self.monitor == "val_loss"
        mode: Literal["min", "max"] = "min" if is_growing else "max"
        scheduler = ReduceLROnPlateau(optimizer, mode, patience=0)
        plan = {"scheduler": scheduler, "monitor": self.monitor, **self.settings}
        return {"optimizer": optimizer, "lr_scheduler": plan}


class Stop(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step >= self.step:
            raise RuntimeError("stopped")


def fit(
    folder: Path,
    model: Watching,
    resume: str | None = None,
    stop: int = 1000,
    n_callbacks: int = 1,
    **options: Any,
) -> Watching:
    limits = {"limit_val_batches": 0} if model.monitor == "train_loss" else {}
    callbacks: list[Callback] = [
        RecordCheckpoint(folder / str(i), save_top_k=-1, mode=mode, **options)
        for i, mode in enumerate(["min", "max"][:n_callbacks])
    ]
    run = trainer(folder, 5, callbacks=[*callbacks, Stop(stop)], **limits)
    run.fit(model, ResumableLoader(DATA, 8), DataLoader(DATA, 8), ckpt_path=resume)
    return model


def rates_of_both(
    folder: Path, stop: int, settings: dict[str, Any], monitor: str, **options: Any
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    whole = fit(folder / "whole", Watching(monitor, **settings), **options).rates
    model = Watching(monitor, **settings)
    with pytest.raises(RuntimeError, match="stopped"):
        fit(folder / "again", model, stop=stop, **options)
    newest = max((folder / "again/0").iterdir(), key=lambda f: f.stat().st_mtime_ns)
    again = fit(
        folder / "again", Watching(monitor, **settings), str(newest), **options
    ).rates
    return whole[-len(again) :], again


@pytest.mark.parametrize(
    ("stop", "settings", "monitor", "options"),
    [
        (9, {}, "val_loss", {}),
        (9, {}, "val_loss", {"n_callbacks": 2}),
        (9, {}, "val_loss", {"save_on_train_epoch_end": True}),
        (10, {}, "val_loss", {"every_n_train_steps": 3}),
        (17, {"frequency": 2}, "val_loss", {}),
        (14, {"frequency": 2}, "val_loss", {"every_n_train_steps": 3}),
        (9, {}, "train_loss", {}),
        (10, {}, "train_loss", {"every_n_train_steps": 3}),
        (9, {}, "val_loss", {"every_n_train_steps": N_BATCHES}),
    ],
    ids=str,
)
def test_a_run_that_goes_on_has_the_rates_of_one_that_was_not_stopped(
    tmp_path: Path,
    stop: int,
    settings: dict[str, Any],
    monitor: str,
    options: dict[str, Any],
) -> None:
    whole, again = rates_of_both(tmp_path, stop, settings, monitor, **options)

    assert again == whole
    assert whole[-1][1] < 0.5


class OfBefore(Watching):
    """One that goes on from a checkpoint as it was before it kept what is to come."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for key in ("burnish_metrics", "burnish_unfinished_batch"):
            checkpoint.pop(key)


def test_a_step_whose_metric_is_not_known_is_warned_of(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tmp_path, Watching("val_loss"), stop=9, every_n_train_steps=N_BATCHES)
    newest = max((tmp_path / "0").iterdir(), key=lambda f: f.stat().st_mtime_ns)

    with pytest.warns(UserWarning, match=r"of 'val_loss' for it.*takes no step"):
        fit(tmp_path, OfBefore("val_loss"), str(newest), every_n_train_steps=N_BATCHES)
