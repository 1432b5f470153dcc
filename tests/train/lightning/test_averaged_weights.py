"""A run that averages its weights goes on in mid-epoch as it would have."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.optim.swa_utils import SWALR
from torch.utils.data import DataLoader, TensorDataset

from burnish.train import RecordCheckpoint, ResumableLoader

from .models import SHORT_RUNS, trainer

torch.set_num_threads(1)

pytestmark = [
    *SHORT_RUNS,
    # Its schedule is made with a last epoch, and the optimizer has stepped already.
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*:UserWarning"),
]

_OPTIMIZER = torch.optim.SGD([torch.zeros(1)], 0.1)
KEEPS_FUNCTIONS = any(map(callable, SWALR(_OPTIMIZER, 0.03).state_dict().values()))
"""Whether the schedule has a function in its state, which no checkpoint of ours holds.

Torch 2.6 keeps one; what is saved there ends in an error that names it.
"""

DATA = TensorDataset(torch.randn(32, 3, generator=torch.Generator().manual_seed(0)))


class Normalized(LightningModule):
    """A module with statistics that the last epoch of an averaging measures."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.rates: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        loss: Tensor = (self.layers(batch[0]) - 1).square().mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)
        return [optimizer], [StepLR(optimizer, 1, 0.9)]


class Saves(Callback):
    """Saves after some batches, counted over all epochs."""

    def __init__(self, folder: Path, batches: tuple[int, ...]) -> None:
        self.folder, self.batches = folder, batches

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        n_batches = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        if n_batches in self.batches:
            trainer.save_checkpoint(self.folder / str(n_batches))


def run(folder: Path, *batches: int, resume: int | None = None) -> Normalized:
    module = Normalized()
    callbacks = [
        RecordCheckpoint(folder / "own"),
        StochasticWeightAveraging(0.03, swa_epoch_start=2, annealing_epochs=3),
        Saves(folder, batches),
    ]
    fitting = trainer(folder, 4, callbacks=callbacks, val_check_interval=1)
    loader = ResumableLoader(DATA, 8, shuffle=True)
    checkpoint = None if resume is None else str(folder / str(resume))
    fitting.fit(module, loader, DataLoader(DATA, 32), ckpt_path=checkpoint)
    return module


@pytest.mark.skipif(KEEPS_FUNCTIONS, reason="the schedule of averages has functions")
@pytest.mark.parametrize(
    ("stop", "next_stop"),
    [
        (6, 7),  # in the first epoch that is averaged, and in one that went on
        (9, 14),
        (14, 18),  # in the epoch that measures statistics, after the last step
    ],
)
def test_averages_in_mid_epoch_go_on_to_the_bit(
    tmp_path: Path, stop: int, next_stop: int
) -> None:
    whole = run(tmp_path, stop)

    run(tmp_path, next_stop, resume=stop)
    again = run(tmp_path, resume=next_stop)

    assert again.rates == whole.rates[next_stop:]
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
