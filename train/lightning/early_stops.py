"""Whether EarlyStopping had ended a run, which Lightning forgets in a resumed run.

It would train another epoch, and overwrite the last checkpoints. It also uses the
patience of the checkpoint instead of the one that the program gives.
"""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_warn

_SETTINGS = (
    "monitor",
    "mode",
    "patience",
    "min_delta",
    "stopping_threshold",
    "divergence_threshold",
    "check_finite",
)

_NOTHING = (
    "EarlyStopping({monitor!r}) had ended the run when the checkpoint was "
    "saved, so nothing was trained. To continue, give it a different "
    "patience (now {patience}) or different thresholds, or remove it"
)


class EarlyStops:
    """Ends one trainer's run if the run that it resumes had ended."""

    def __init__(self) -> None:
        self._settings: dict[str, Any] | None = None
        self._first_epoch = 0

    def to_store(self, trainer: Trainer) -> list[dict[str, Any]]:
        """Return what a checkpoint stores: the settings of callbacks that stopped."""
        if not trainer.should_stop:
            return []
        return [_settings(c) for c in _stops(trainer) if self._has_stopped(c)]

    def load(
        self, trainer: Trainer, checkpoint: dict[str, Any], stored: object
    ) -> None:
        """Let ``trainer`` stop, if a callback that stopped has the same settings here.

        Called before the states of callbacks are loaded, which overwrite the patience.
        """
        self._settings = None
        rows = stored if isinstance(stored, list) else []
        states = checkpoint.get("callbacks", {})
        for callback in _stops(trainer):
            settings = _settings(callback)
            if settings in rows:
                self._settings, trainer.should_stop = settings, True
            state = states.get(callback.state_key)
            if isinstance(state, dict) and "patience" in state:
                state["patience"] = callback.patience

    def training_begins(self, trainer: Trainer) -> None:
        """Forget the stop: the run has a minimum of epochs to train in any case."""
        self._first_epoch, self._settings = trainer.current_epoch, None

    def run_ends(self, trainer: Trainer) -> None:
        """Explain why nothing was trained, if that is so."""
        settings, self._settings = self._settings, None
        if settings is not None:
            # As where max_epochs ends a run: the last epoch was saved before its end.
            progress: Any = trainer.fit_loop.epoch_progress.current
            progress.completed = progress.processed
            rank_zero_warn(_NOTHING.format(**settings))

    def _has_stopped(self, callback: EarlyStopping) -> bool:
        """Return whether it ended this run, not an earlier one with other settings."""
        # Until it stops, the epoch is 0; older versions of Lightning give no reason.
        reason = getattr(callback, "stopping_reason_message", None)
        has_stopped = bool(reason or callback.stopped_epoch)
        return has_stopped and callback.stopped_epoch >= self._first_epoch


def _stops(trainer: Trainer) -> list[EarlyStopping]:
    callbacks: list[Any] = vars(trainer)["callbacks"]
    return [c for c in callbacks if isinstance(c, EarlyStopping)]


def _settings(callback: EarlyStopping) -> dict[str, Any]:
    return {name: getattr(callback, name) for name in _SETTINGS}
