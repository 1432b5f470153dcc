"""A run that goes on knows the metrics of before, where they still mean something."""

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback

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
