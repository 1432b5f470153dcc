"""Steps of ReduceLROnPlateau that Lightning leaves out where a run goes on.

Lightning makes them at the end of an epoch, once every checkpoint of that epoch is
written, and none in an epoch in which a run went on, since it keeps no metrics.
"""

from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn

_UNKNOWN = (
    "the checkpoint was saved between the last step of an epoch and {monitor!r} of it, "
    "so that the ReduceLROnPlateau which watches that makes no step for this epoch, as "
    "it would have in a run that was not stopped. Save after the validation "
    "(RecordCheckpoint does without every_n_train_steps), and the step is made up for"
)


class PlateauSteps:
    """Makes up for the steps that one trainer leaves out, each once."""

    def __init__(self) -> None:
        self._train_names: frozenset[str] | None = None
        self._n_batches = -1
        self._stored: list[dict[str, Any]] = []
        self._due: list[tuple[Any, object]] = []

    def validation_begins(self, trainer: Trainer) -> None:
        """Remember which metrics are those of training; validation logs others."""
        if self._train_names is None and not trainer.sanity_checking:
            self._train_names = frozenset(trainer.callback_metrics)

    def validation_ends(self, trainer: Trainer) -> None:
        """Remember that metrics of validation are those of now."""
        if not trainer.sanity_checking:
            self._n_batches = _n_batches(trainer)

    def to_store(self, trainer: Trainer) -> list[dict[str, Any]]:
        """Return what a checkpoint keeps: the steps that come after it, by scheduler.

        Each has the number of its scheduler, and the value that the scheduler watches
        unless that is not known yet.
        """
        progress = trainer.fit_loop.epoch_progress.current
        is_ended = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if not is_ended or progress.completed == progress.ready:
            return []
        return [
            {"scheduler": i, "value": self._value(trainer, config.monitor)}
            for i, config in enumerate(trainer.lr_scheduler_configs)
            if _steps_now(trainer, config)
        ]

    def load(self, rows: object) -> None:
        """Take over what `to_store` returned when the checkpoint was saved."""
        self._stored = rows if isinstance(rows, list) else []

    def training_begins(self, trainer: Trainer) -> None:
        """Make the steps that were due when the checkpoint was saved."""
        configs = trainer.lr_scheduler_configs
        for row in self._stored:
            if row["scheduler"] >= len(configs):
                continue
            config = configs[row["scheduler"]]
            if row["value"] is None:
                rank_zero_warn(_UNKNOWN.format(monitor=config.monitor))
            else:
                self._due.append((config, row["value"]))
        self._stored = []
        self.make(trainer)

    def epoch_ends(self, trainer: Trainer) -> None:
        """Note the steps of an epoch in which the run went on."""
        metrics = trainer.callback_metrics
        if trainer.fit_loop.restarting:
            self._due += [
                (config, metrics[config.monitor])
                for config in trainer.lr_scheduler_configs
                if _steps_now(trainer, config) and config.monitor in metrics
            ]

    def make(self, trainer: Trainer) -> None:
        """Make the steps that are due; all checkpoints of their epoch are written."""
        due, self._due = self._due, []
        for config, value in due:
            trainer.lightning_module.lr_scheduler_step(config.scheduler, value)

    def _value(self, trainer: Trainer, monitor: str | None) -> torch.Tensor | None:
        """Return what is watched, as the step will see it; None if that comes later."""
        value = trainer.callback_metrics.get(monitor or "")
        progress: Any = trainer.fit_loop.epoch_progress.current
        is_validated = self._n_batches == _n_batches(trainer)
        is_of_training = monitor in (self._train_names or ())
        is_last = progress.processed == progress.ready
        if value is None or not (is_last or (is_validated and not is_of_training)):
            return None
        return value.detach().cpu().clone()


def _n_batches(trainer: Trainer) -> int:
    n_batches: int = trainer.fit_loop.epoch_loop.batch_progress.total.ready
    return n_batches


def _steps_now(trainer: Trainer, config: Any) -> bool:
    """Return whether a scheduler steps at the end of this epoch by what it watches."""
    is_of_epochs = config.reduce_on_plateau and config.interval == "epoch"
    is_automatic = trainer.lightning_module.automatic_optimization
    n_epochs = trainer.current_epoch + 1
    return is_of_epochs and is_automatic and n_epochs % config.frequency == 0
