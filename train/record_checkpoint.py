"""RecordCheckpoint: Lightning's ModelCheckpoint, writing records."""

import re
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ..config.path import did_you_mean
from .lightning_io import RecordIO


class RecordCheckpoint(ModelCheckpoint):
    """Saves checkpoints as `RecordIO` does; takes what ``ModelCheckpoint`` takes.

    Without ``filename`` the best are named after epoch and monitored value. It makes
    the trainer read and write records, so that resuming needs nothing else.
    """

    FILE_EXTENSION = ""

    def __init__(
        self,
        dirpath: Any = None,
        filename: str | None = None,
        monitor: str | None = None,
        **options: Any,
    ) -> None:
        if filename is None and monitor is not None:
            name = monitor.replace("/", "_")
            filename = f"epoch={{epoch}}-{name}={{{monitor}:.4f}}"
            options["auto_insert_metric_name"] = False
        super().__init__(dirpath, filename, monitor, **options)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the trainer read and write records, then do as ``ModelCheckpoint``."""
        strategy: Any = trainer.strategy
        # Another plugin was chosen on purpose.
        if type(strategy.checkpoint_io) is TorchCheckpointIO:
            strategy.checkpoint_io = RecordIO()
        super().setup(trainer, pl_module, stage)

    def _format_checkpoint_name(
        self,
        filename: str | None,
        metrics: dict[str, Tensor],
        prefix: str | None = None,
        auto_insert_metric_name: bool = True,
    ) -> str:
        self._check_names(filename or "", metrics)
        name = super()._format_checkpoint_name(
            filename, metrics, prefix, auto_insert_metric_name
        )
        # A metric's slash would make a folder of the name's first half.
        return name if auto_insert_metric_name is False else name.replace("/", "_")

    def _check_names(self, filename: str, metrics: dict[str, Tensor]) -> None:
        """Warn of a metric in the name that was not logged: it would read as 0."""
        for name in re.findall(r"\{([^:}]+)", filename):
            if name not in metrics:
                known = ", ".join(sorted(metrics))
                rank_zero_warn(
                    f"the checkpoint's name has {name!r}, which was not logged and "
                    f"will read as 0; there are {known}.{did_you_mean(name, metrics)}"
                )
