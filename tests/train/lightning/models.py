"""Models, data and trainers of short runs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from burnish.train import (
    DataHparams,
    DataModule,
    Model,
    ModelHparams,
)

from ...lightning_warnings import LIGHTNING_WARNINGS

SHORT_RUNS = [
    pytest.mark.usefixtures("quiet_lightning"),
    *LIGHTNING_WARNINGS,
    # Lightning notes that logs are written every 50 steps and tests have fewer.
    pytest.mark.filterwarnings("ignore:.*number of training batches.*:Warning"),
]


class Width(ModelHparams):
    d: int = 2


class Net(Model[Width]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.layer = nn.Linear(10, 2)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.dropout(self.layer(x))
        return made

    def compute_metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.mse_loss(outputs, targets)}


class Data(DataModule[DataHparams]):
    def get_dataset(self) -> Dataset[Any]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(100, 10, generator=generator)
        return TensorDataset(x, x[:, :2] + 0.1)


def data(**options: Any) -> Data:
    loader = {"batch_size": 16, "shuffle": True}
    return Data({"loader": loader, "seed": 1, **options})


def trainer(folder: Path, max_epochs: int, **options: Any) -> Trainer:
    return Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        **options,
    )


def run_of(folder: Path, n_epochs: int, chosen: Any, resume: str | None) -> Net:
    torch.manual_seed(7)
    model = Net(chosen)
    made = trainer(folder, n_epochs, accumulate_grad_batches=2)
    made.fit(model, datamodule=data(), ckpt_path=resume)
    return model


class Plain(LightningModule):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(10, width)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch[0]).square().mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters())
