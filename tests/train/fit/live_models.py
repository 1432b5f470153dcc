"""What a live run of `burnish fit` trains, with a person who edits at some steps."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from burnish.config import Hparam
from burnish.train import DataHparams, DataModule, Model, ModelHparams

PERSON: dict[int, Callable[[], object]] = {}
"""What is done once the optimizer has made so many steps."""

SEEN: list[dict[str, Any]] = []
"""What was in force at each step of the run."""

RATES: list[tuple[int, float]] = []


class NetHparams(ModelHparams):
    width: int = 4
    scale: float = Hparam(default=1.0, ge=0, editable=True)


class Net(Model[NetHparams]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        width = self.thparams.width
        self.layers = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x)
        return result

    def compute_metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        loss = nn.functional.mse_loss(outputs, targets)
        return {"loss": self.thparams.scale * loss}

    def on_edit(self, changes: Any) -> None:
        if self.thparams.scale == 13:
            raise ValueError("unlucky")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = self.trainer.global_step
        group = self.trainer.optimizers[0].param_groups[0]
        SEEN.append({"step": step, "scale": self.thparams.scale, **group})
        if step in PERSON:
            PERSON[step]()


class Groups(Net):
    """Has a group with a rate of its own."""

    def configure_optimizers(self) -> Any:
        first, _, last = self.layers
        return torch.optim.SGD(
            [
                {"params": first.parameters(), "lr": 0.5},
                {"params": last.parameters(), "lr": 0.1},
            ]
        )


class DataOfNet(DataModule[DataHparams]):
    def get_dataset(self) -> Dataset[Any]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(40, 3, generator=generator)
        return TensorDataset(x, x.sum(1, keepdim=True))
