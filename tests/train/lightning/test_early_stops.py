"""A run that EarlyStopping ended stays ended, unless somebody changes its settings."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.train import RecordCheckpoint, ResumableLoader

from .models import SHORT_RUNS, trainer

torch.set_num_threads(1)

pytestmark = SHORT_RUNS

DATA = TensorDataset(torch.randn(16, 3, generator=torch.Generator().manual_seed(0)))


class NoBetter(LightningModule):
    """A module whose validation is as good as it ever was."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch[0] + torch.randn(3)).square().mean()
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", 1.0)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.05)


def epochs_of(
    folder: Path, patience: int, resume: bool, min_epochs: int = 1
) -> tuple[int, Tensor]:
    """Return how many epochs a run has had at its end, and what is drawn next."""
    torch.manual_seed(0)
    saver = RecordCheckpoint(folder, save_last=True, save_top_k=0)
    stop = EarlyStopping("val_loss", patience=patience)
    run = trainer(folder, 9, callbacks=[saver, stop], min_epochs=min_epochs)
    last_checkpoint = str(folder / "last") if resume else None
    loader = ResumableLoader(DATA, 8, shuffle=True)
    run.fit(NoBetter(), loader, DataLoader(DATA, 8), ckpt_path=last_checkpoint)
    assert stop.patience == patience
    return run.current_epoch, torch.rand(3)


def test_a_run_that_was_stopped_early_trains_no_further_epoch(tmp_path: Path) -> None:
    n_epochs, draw = epochs_of(tmp_path, 2, resume=False)
    assert n_epochs == 3

    with pytest.warns(UserWarning, match=r"'val_loss'.*nothing was trained.*now 2"):
        again, draw_again = epochs_of(tmp_path, 2, resume=True)

    assert again == n_epochs
    assert torch.equal(draw_again, draw)


def test_more_patience_lets_it_go_on(tmp_path: Path) -> None:
    epochs_of(tmp_path, 2, resume=False)

    assert epochs_of(tmp_path, 4, resume=True)[0] == 5


def test_a_run_that_has_to_train_longer_stops_as_soon_as_it_may(
    tmp_path: Path,
) -> None:
    epochs_of(tmp_path, 2, resume=False)

    assert epochs_of(tmp_path, 2, resume=True, min_epochs=6)[0] == 6
