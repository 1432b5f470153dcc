"""Steps of ReduceLROnPlateau that Lightning omits where a run is resumed.

Lightning makes them after every checkpoint of their batch or epoch is written, and none
at the end of an epoch in which a run was resumed.
"""

from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from .trainer_metrics import TrainerMetrics, values_of_epoch
from .unfinished_batch import is_in_batch

_UNKNOWN = (
    "the checkpoint was saved between a training step and the logging of {monitor!r} "
    "for it, so the ReduceLROnPlateau that watches it takes no step here, as it would "
    "have in an uninterrupted run. Save after what it watches is logged"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DueStep:
    """A scheduler's step that happens after the checkpoint was saved."""

    config: Any
    value: Tensor | None
    n_before: object
    """Number of the scheduler's steps so far: Lightning may make the step itself."""

    @property
    def is_made(self) -> bool:
        return _n_steps(self.config) != self.n_before


class PlateauSteps:
    """Makes the steps that one trainer omits, each once."""

    def __init__(self, metrics: TrainerMetrics) -> None:
        self._metrics = metrics
        self._n_validated = -1
        self._stored: list[dict[str, Any]] = []
        self._due: list[_DueStep] = []

    def validation_ends(self, trainer: Trainer) -> None:
        """Note that the metrics of validation are current."""
        if not trainer.sanity_checking:
            self._n_validated = _n_batches(trainer)

    def to_store(self, trainer: Trainer) -> list[dict[str, Any]]:
        """Return what to store in a checkpoint: the steps after it, by scheduler.

        Each has the number of its scheduler, and the value that the scheduler monitors
        unless it is not known yet.
        """
        due_values = {id(due.config): due.value for due in self._due}
        rows: list[dict[str, Any]] = []
        for i, config in enumerate(_plateaus(trainer)):
            if config is None or not _is_to_come(trainer, config):
                continue
            value = self._value(trainer, config)
            if value is None:
                value = due_values.get(id(config))
            rows.append(
                {
                    "scheduler": i,
                    "value": None if value is None else value.detach().cpu().clone(),
                }
            )
        return rows

    def load(self, rows: object) -> None:
        """Accept what `to_store` returned when the checkpoint was saved."""
        self._stored = rows if isinstance(rows, list) else []

    def training_begins(self, trainer: Trainer) -> None:
        """Determine which steps were due when the checkpoint was saved.

        Lightning may run the end of that epoch again, and make some of them.
        """
        configs = _plateaus(trainer)
        for row in self._stored:
            config = configs[row["scheduler"]] if row["scheduler"] < len(configs) else 0
            if config:
                self._due.append(_due(config, row["value"]))
        self._stored = []

    def epoch_ends(self, trainer: Trainer) -> None:
        """Note the due steps of the resumed epoch, whose metrics are known now."""
        self.make(trainer, "step")
        if not trainer.fit_loop.restarting or not _is_epoch_ended(trainer):
            return
        due_values = {id(due.config): due.value for due in self._due}
        fresh = values_of_epoch(trainer)
        for config in filter(None, _plateaus(trainer)):
            if not _is_of_epoch(trainer, config):
                continue
            value = fresh.get(config.monitor, due_values.get(id(config)))
            if value is None:
                value = trainer.callback_metrics.get(config.monitor)
            self._due = [due for due in self._due if due.config is not config]
            self._due.append(_due(config, value))

    def make(self, trainer: Trainer, interval: str | None = None) -> None:
        """Make the due steps, after all earlier checkpoints were written."""
        due_steps, self._due = self._due, []
        for due in due_steps:
            if interval not in (None, due.config.interval):
                self._due.append(due)
            elif due.is_made:
                continue
            elif due.value is None:
                rank_zero_warn(_UNKNOWN.format(monitor=due.config.monitor))
            else:
                module = trainer.lightning_module
                module.lr_scheduler_step(due.config.scheduler, due.value)

    def run_ends(self, trainer: Trainer) -> None:
        """Make the due steps where nothing is left to train."""
        self.training_begins(trainer)
        self.make(trainer)

    def _value(self, trainer: Trainer, config: Any) -> Tensor | None:
        """Return the monitored value that the step will see; None if still unknown."""
        value = trainer.callback_metrics.get(config.monitor)
        is_of_epoch = config.interval == "epoch"
        progress: Any = trainer.fit_loop.epoch_progress.current
        if is_of_epoch and progress.processed == progress.ready:
            return value
        fresh = values_of_epoch(trainer) if is_of_epoch else {}
        if config.monitor in fresh:
            return fresh[config.monitor]
        is_of_validation = config.monitor in self._metrics.of_validation
        if is_of_validation and self.is_validation_to_come(trainer):
            return None
        # Other names may still be logged when the epoch ends.
        return value if is_of_validation or not is_of_epoch else None

    def is_validation_to_come(self, trainer: Trainer) -> bool:
        """Return whether the batch that ended is followed by a validation."""
        if self._n_validated == _n_batches(trainer):
            return False
        loop: Any = trainer.fit_loop.epoch_loop
        fetcher = vars(trainer.fit_loop).get("_data_fetcher")
        return fetcher is not None and bool(loop._should_check_val_fx(fetcher))


def _due(config: Any, value: Tensor | None) -> _DueStep:
    return _DueStep(config=config, value=value, n_before=_n_steps(config))


def _n_steps(config: Any) -> object:
    return getattr(config.scheduler, "last_epoch", None)


def _n_batches(trainer: Trainer) -> int:
    n_batches: int = trainer.fit_loop.epoch_loop.batch_progress.total.ready
    return n_batches


def _plateaus(trainer: Trainer) -> list[Any]:
    """Return the schedulers that monitor a metric and that Lightning steps."""
    is_automatic = trainer.lightning_module.automatic_optimization
    return [
        config if config.reduce_on_plateau and is_automatic else None
        for config in trainer.lr_scheduler_configs
    ]


def _is_to_come(trainer: Trainer, config: Any) -> bool:
    """Return whether a scheduler steps before the next batch."""
    epoch: Any = trainer.fit_loop.epoch_progress.current
    if config.interval == "epoch":
        is_in_epoch = epoch.completed < epoch.started == epoch.ready
        return (
            is_in_epoch and _is_epoch_ended(trainer) and _is_of_epoch(trainer, config)
        )
    loop: Any = trainer.fit_loop.epoch_loop
    batch = loop.batch_progress.current
    # The last batch of an epoch is followed by the epoch's end.
    is_after_batch = (
        epoch.processed < epoch.ready and batch.processed == batch.ready > 0
    )
    if not is_after_batch or loop._should_accumulate():
        return False
    return bool(batch.ready % config.frequency == 0)


def _is_of_epoch(trainer: Trainer, config: Any) -> bool:
    """Return whether a scheduler steps at the end of this epoch."""
    n_epochs = trainer.current_epoch + 1
    return bool(config.interval == "epoch" and n_epochs % config.frequency == 0)


def _is_epoch_ended(trainer: Trainer) -> bool:
    """Return whether the last batch is done; a run may also stop in mid-epoch."""
    loop: Any = trainer.fit_loop.epoch_loop
    is_last: bool = loop._num_ready_batches_reached()
    return is_last and not is_in_batch(trainer)
