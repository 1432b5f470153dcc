"""A trainer's metrics, none of which Lightning keeps in a checkpoint.

Schedulers, early stopping and names of checkpoints use the value that was logged last,
which may be an epoch old, and means over all batches of an epoch. Loggers receive those
means at the end of an epoch, which may be in the resumed run.
"""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ...records.errors import RecordMismatchError
from ..checkpoints.process_generators import (
    gathered_states,
    state_of_first,
    state_of_process,
)
from .unfinished_batch import is_epoch_done

_VALUES, _OF_VALIDATION, _SUMS = "values", "of_validation", "sums"
_LOGGED = "logged"
_STATES = ("value", "cumulated_batch_size")

_OTHER_BATCHES = (
    "the checkpoint was saved in the middle of an epoch: what is logged of that epoch "
    "under {names} covers only the batches that follow, so it differs from an "
    "uninterrupted run, as do schedulers and callbacks that watch it. Save at the end "
    "of an epoch"
)


class TrainerMetrics:
    """The metrics of one trainer, with which a resumed run begins."""

    def __init__(self) -> None:
        self.of_validation: frozenset[str] = frozenset()
        """The names that validation logged."""
        self._stored: Mapping[str, Any] = {}
        self._sums: dict[str, Any] = {}
        self._logged: dict[str, Tensor] = {}

    def validation_ends(self, trainer: Trainer) -> None:
        """Note which names are logged by validation."""
        if not trainer.sanity_checking:
            loop: Any = trainer.fit_loop.epoch_loop.val_loop
            self.of_validation |= _values_of(loop).keys()

    def to_store(self, trainer: Trainer) -> dict[str, Any]:
        """Return what a checkpoint stores; every process of the group calls this."""
        self.batch_ends(trainer)  # a callback may save before that is called
        values = {**trainer.callback_metrics, **values_of_epoch(trainer)}
        state = {
            _VALUES: {name: value.detach().cpu() for name, value in values.items()},
            _OF_VALIDATION: sorted(self.of_validation),
            _SUMS: {**self._sums, **_sums_of_epoch(trainer)},
            _LOGGED: {**self._logged, **_logged_of_epoch(trainer)},
        }
        return gathered_states(state)

    def load(self, stored_state: object) -> None:
        """Accept what `to_store` returned when the checkpoint was saved."""
        self._stored, self._sums, self._logged = {}, {}, {}
        if not isinstance(stored_state, Mapping) or not stored_state:
            return
        try:
            self._stored = state_of_process(stored_state, "")
        except RecordMismatchError:
            # Values are those of all processes, or of an arbitrary one anyway.
            of_first = state_of_first(stored_state)
            self._stored = {**of_first, _SUMS: dict.fromkeys(of_first[_SUMS])}

    def training_begins(self, trainer: Trainer) -> None:
        """Restore the trainer's metrics; those of validation only if it has one."""
        state, self._stored = self._stored, {}
        is_validated = trainer.enable_validation
        names_of_validation = state.get(_OF_VALIDATION, ())
        self.of_validation |= {*names_of_validation}
        device = trainer.strategy.root_device
        for name, value in state.get(_VALUES, {}).items():
            if is_validated or name not in names_of_validation:
                trainer.callback_metrics[name] = value.to(device)
        is_ended = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        self._sums = {} if is_ended else dict(state.get(_SUMS, {}))
        self._logged = dict(state.get(_LOGGED, {})) if is_ended else {}
        lost = sorted(name for name, sums in self._sums.items() if sums is None)
        if lost:
            rank_zero_warn(_OTHER_BATCHES.format(names=", ".join(lost)))
        self._sums = {k: v for k, v in self._sums.items() if v is not None}

    def batch_ends(self, trainer: Trainer) -> None:
        """Add the batches before the save to the metrics of an epoch."""
        results = _results(trainer.fit_loop.epoch_loop)
        for key in [*self._sums]:
            if key in results and not results[key].has_reset:
                _add(results[key], self._sums.pop(key))

    def batch_begins(self) -> None:
        """Forget the epoch that ended: what is logged next belongs to another."""
        self._logged = {}

    def epoch_ends(self, trainer: Trainer) -> None:
        """Log the earlier batches; drop sums that are no longer logged."""
        self._sums = {}
        logged, self._logged = self._logged, {}
        if logged:
            loop: Any = trainer.fit_loop.epoch_loop
            # Loggers are given the same step as for the last batch, as Lightning does.
            loop._batches_that_stepped -= 1
            vars(trainer)["_logger_connector"].log_metrics(logged)
            loop._batches_that_stepped += 1


def values_of_epoch(trainer: Trainer) -> dict[str, Tensor]:
    """Return the training metrics of an epoch, once all its batches are done."""
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress
    is_ended = is_epoch_done(trainer) and progress.current.processed > 0
    return _values_of(trainer.fit_loop.epoch_loop) if is_ended else {}


def _logged_of_epoch(trainer: Trainer) -> dict[str, Tensor]:
    """Return what loggers are given at the end of an epoch that has no batch left."""
    loop: Any = trainer.fit_loop.epoch_loop
    if not is_epoch_done(trainer) or loop.batch_progress.current.processed == 0:
        return {}
    values: dict[str, Tensor] = _results(loop).metrics(on_step=False)["log"]
    return {name: value.detach().cpu() for name, value in values.items()}


def _values_of(loop: Any) -> dict[str, Tensor]:
    results: Any = _results(loop)
    values: dict[str, Tensor] = results.metrics(on_step=False)["callback"]
    return values


def _results(loop: Any) -> Any:
    return vars(loop)["_results"]


def _sums_of_epoch(trainer: Trainer) -> dict[str, Any]:
    """Return sums over the batches of a resumed epoch; None if not to be kept."""
    loop = trainer.fit_loop.epoch_loop
    if is_epoch_done(trainer):
        return {}
    return {
        key: _state_of(result) if result.is_tensor else None
        for key, result in _results(loop).items()
        if result.meta.on_epoch and not result.has_reset
    }


def _state_of(result: Any) -> dict[str, Tensor]:
    states = {name: vars(result).get(name) for name in _STATES}
    return {k: v.detach().cpu().clone() for k, v in states.items() if v is not None}


def _add(result: Any, before: Mapping[str, Tensor]) -> None:
    """Let ``result`` contain the batches before the save as well."""
    value = before["value"].to(result.value.device)
    if result.meta.is_max_reduction:
        result.value = torch.maximum(value, result.value)
    elif result.meta.is_min_reduction:
        result.value = torch.minimum(value, result.value)
    elif result.meta.is_mean_reduction or result.meta.is_sum_reduction:
        result.value = value + result.value
    if "cumulated_batch_size" in before and result.meta.is_mean_reduction:
        n_before = before["cumulated_batch_size"].to(value.device)
        result.cumulated_batch_size = n_before + result.cumulated_batch_size
    result._computed = None
