"""Lightning's own finetuning callbacks, which keep copies of an optimizer's groups."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BackboneFinetuning, BaseFinetuning
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.optim import SGD, AdamW, ClipNorm, Group, schedulers
from burnish.train import RecordCheckpoint

from .models import SHORT_RUNS

torch.set_num_threads(1)

pytestmark = SHORT_RUNS


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.head(self.backbone(batch[0])).square().mean()
        return loss

    def configure_optimizers(self) -> Any:
        rate = schedulers.Cosine(0.1, 20)
        bias = Group("bias", optimizer=AdamW(), lr=rate, clip=ClipNorm(0.1))
        return SGD(momentum=0.9).bind(self.head, lr=0.05, groups=[bias])


class Unfreezing(BaseFinetuning):
    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.backbone)

    def finetune_function(
        self, pl_module: Any, epoch: int, optimizer: torch.optim.Optimizer
    ) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.backbone, optimizer)
        elif epoch > 1:
            # Lightning freezes again what a run had unfrozen before it was resumed.
            self.make_trainable(pl_module.backbone)


def trained(
    callback: Any, folder: Path, n_epochs: int, resume: Path | None = None
) -> tuple[Net, Any]:
    torch.manual_seed(0)
    net = Net()
    rows = TensorDataset(torch.randn(16, 4))
    trainer = Trainer(
        max_epochs=n_epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback, RecordCheckpoint(folder, save_last=True)],
    )
    trainer.fit(net, DataLoader(rows, 4), ckpt_path=resume)
    return net, trainer.optimizers[0]


def test_a_run_that_unfreezes_layers_goes_on_to_the_bit_with_its_own_groups(
    tmp_path: Path,
) -> None:
    whole, optimizer = trained(Unfreezing(), tmp_path / "whole", 4)
    trained(Unfreezing(), tmp_path / "part", 2)

    resumed, again = trained(Unfreezing(), tmp_path / "part", 4, tmp_path / "part/last")

    for name in ("optimizer", "schedule", "clip", "lr"):
        values = [repr(group[name]) for group in again.param_groups]
        assert values == [repr(group[name]) for group in optimizer.param_groups]
    assert len(again.param_groups) == 3
    for path, param in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[path], param), path


def test_a_backbone_that_is_unfrozen_later_is_saved_and_resumed(
    tmp_path: Path,
) -> None:
    def callback() -> BackboneFinetuning:
        return BackboneFinetuning(unfreeze_backbone_at_epoch=1)

    trained(callback(), tmp_path, 2)

    _, optimizer = trained(callback(), tmp_path, 3, tmp_path / "last")

    assert [type(group["optimizer"]) for group in optimizer.param_groups] == [
        SGD,
        AdamW,
        SGD,
    ]
    assert optimizer.param_groups[1]["clip"] == ClipNorm(0.1)
