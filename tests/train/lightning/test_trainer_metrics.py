"""A run that goes on knows the metrics of before, where they still mean something."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.train import RecordCheckpoint, ResumableLoader

from .models import SHORT_RUNS, Net, Width, data, trainer

pytestmark = SHORT_RUNS


class Seen(Callback):
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.names = {*trainer.callback_metrics}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"validation/loss", "training/loss"}),
        ({"limit_val_batches": 0}, {"training/loss"}),
    ],
)
def test_metrics_of_a_validation_that_is_no_more_are_not_known(
    tmp_path: Path, options: dict[str, Any], names: set[str]
) -> None:
    hparams = {"optimizer": {"module_name": "torch.optim.SGD", "kwargs": {"lr": 0.1}}}
    checkpoint = {
        "dirpath": str(tmp_path / "saved"),
        "save_last": True,
        "monitor": "training/loss",
    }

    def make() -> Net:
        return Net(Width.from_dict({**hparams, "checkpoint": checkpoint}))

    trainer(tmp_path, 1).fit(make(), data(split=[0.8, 0.2]))
    seen = Seen()

    run = trainer(tmp_path, 2, callbacks=[seen], **options)
    run.fit(make(), data(split=[0.8, 0.2]), ckpt_path=str(tmp_path / "saved/last"))

    assert seen.names == names


class Rows(Logger):
    """Keeps what it is told."""

    @property
    def name(self) -> str:
        return "rows"

    @property
    def version(self) -> int:
        return 0

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[tuple[int | None, str], float] = {}

    def log_hyperparams(self, params: Any, *args: Any, **options: Any) -> None:
        pass

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.values |= {(step, name): value for name, value in metrics.items()}


class Means(LightningModule):
    """Logs a mean over each epoch, and one only in the first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch[0]).square().mean()
        names = ("loss", "first") if self.current_epoch == 0 else ("loss",)
        for name in names:
            self.log(name, loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val", self.layer(batch[0]).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


class Stopped(Exception):
    pass


class StopsInValidation(Callback):
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        raise Stopped


def test_loggers_are_told_the_means_of_an_epoch_that_was_saved_at_its_last_batch(
    tmp_path: Path,
) -> None:
    samples = TensorDataset(torch.randn(16, 3))

    def fit(folder: str, logger: Rows, *others: Callback, **options: Any) -> None:
        saver = RecordCheckpoint(tmp_path / folder, every_n_train_steps=4)
        run = trainer(tmp_path, 2, callbacks=[saver, *others])
        run.loggers = [logger]
        loader = ResumableLoader(samples, 4, shuffle=True)
        run.fit(Means(), loader, DataLoader(samples, 8), **options)

    whole, stopped = Rows(), Rows()
    fit("whole", whole)

    with pytest.raises(Stopped):
        fit("stopped", stopped, StopsInValidation())
    fit("stopped", stopped, ckpt_path=str(tmp_path / "stopped/epoch=0-step=4"))

    assert {(3, "first"), (3, "loss"), (7, "loss")} <= whole.values.keys()
    assert stopped.values == whole.values
