"""The rest of a batch after a checkpoint that was saved at its end, or within it.

Lightning omits it in a resumed run: the validation after that batch, and the end of its
epoch; the next epoch then counts as a resumed one, and what is saved in it restarts
that epoch. Loggers are given the number of steps, which counts the step of that batch
once all of this is done. A batch in which a checkpoint is saved (an exception saves
there) is trained again: Lightning would count it as still to come, but its loader has
returned it. And an epoch that a limit of steps or `should_stop` ended before its last
batch continues with the next one: Lightning would begin another epoch, and leave out
what schedulers do at the end of this one.
"""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer

_EPOCHS, _BATCHES = "epoch_progress", "epoch_loop.batch_progress"
_VALIDATION = "epoch_loop.val_loop.batch_progress"
_COUNTS = ("current", "total")
_STAGES = ("ready", "started", "processed")
_LOOP, _STEPS = "epoch_loop.state_dict", "_batches_that_stepped"


class UnfinishedBatch:
    """Lets one trainer resume with the rest of a batch."""

    def __init__(self) -> None:
        self._is_last = False

    def load(self, stored_state: object, checkpoint: Mapping[str, Any]) -> None:
        """Set the loops of ``checkpoint`` to after the batch, not before its end.

        ``stored_state`` is what `unfinished_batch` returned when it was saved.
        """
        self._is_last = False
        loops = checkpoint.get("loops", {}).get("fit_loop", {})
        is_known = {_EPOCHS, _BATCHES, _VALIDATION} <= loops.keys()
        if not isinstance(stored_state, Mapping) or not is_known:
            return
        self._is_last = bool(stored_state["is_last"])
        for count in _COUNTS:
            batches = loops[_BATCHES][count]
            batches["completed"] = batches["processed"]
        if stored_state["validates"]:
            # As in the middle of a validation, which Lightning restarts.
            validation = loops[_VALIDATION]
            n_done = validation["total"]["completed"]
            n_begun = {"ready": n_done + 1, "started": n_done + 1}
            validation["total"].update(processed=n_done, **n_begun)
            validation["current"] = dict.fromkeys(validation["current"], 0)
        elif stored_state.get("steps") and _STEPS in loops.get(_LOOP, {}):
            # The end of a validation counts the batch; without one nothing else does.
            loops[_LOOP][_STEPS] += 1

    def begin_epoch(self, trainer: Trainer) -> None:
        """Begin the next epoch where one is over, which Lightning would end twice.

        It does so under a limit of steps: callbacks would see an extra epoch, or the
        next epoch would continue the batches of the last one.
        """
        loop: Any = trainer.fit_loop
        epochs = loop.epoch_progress.current
        if getattr(loop, "restarted_on_epoch_end", False):
            loop.epoch_progress.increment_completed()
        elif not (loop.restarting and 0 < epochs.ready == epochs.completed):
            self._begin_first_batch(loop)
            return
        # Its own setter assumes that a run with a limit of steps always restarts.
        vars(loop)["_restarting"] = False
        loop.epoch_loop.restarting = False
        loop.reset_restart_stage()
        loop.epoch_loop.reset_restart_stage()

    def _begin_first_batch(self, loop: Any) -> None:
        """Begin an epoch that has no batch yet with the first one.

        Lightning would end a batch before it: with its validation, the steps of its
        schedulers, and a step more for loggers.
        """
        batches = loop.epoch_loop.batch_progress.current
        if loop.restarting and batches.ready == 0:
            loop.epoch_loop.restarting = False
            loop.epoch_loop.reset_restart_stage()

    def training_begins(self, trainer: Trainer) -> None:
        """Prevent another batch in an epoch that was at its last one."""
        fetcher = vars(trainer.fit_loop).get("_data_fetcher")
        if self._is_last and fetcher is not None:
            fetcher.done = True
            # For data without a length, one batch is fetched ahead.
            vars(fetcher).update(batches=[])
        self._is_last = False


def is_in_batch(trainer: Trainer) -> bool:
    """Return whether a training batch was begun and is not done."""
    n_batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return bool(n_batches.processed < n_batches.ready)


def is_epoch_done(trainer: Trainer) -> bool:
    """Return whether the epoch has no batch left, not even a begun one."""
    is_last: bool = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return is_last and not is_in_batch(trainer)


def go_back_to_batch(checkpoint: Mapping[str, Any]) -> None:
    """Set the loops of ``checkpoint`` to before the batch in which it is saved."""
    batches = checkpoint["loops"]["fit_loop"][_BATCHES]
    batches["is_last_batch"] = False
    for count in _COUNTS:
        batches[count].update(dict.fromkeys(_STAGES, batches[count]["completed"]))


def is_epoch_cut(trainer: Trainer) -> bool:
    """Return whether the epoch ended before its last batch."""
    loop: Any = trainer.fit_loop.epoch_loop
    epochs: Any = trainer.fit_loop.epoch_progress.current
    batches = loop.batch_progress.current
    is_ended = epochs.processed == epochs.started == epochs.ready > 0
    is_between = 0 < batches.ready == batches.processed
    return is_ended and is_between and not loop._num_ready_batches_reached()


def go_back_into_epoch(checkpoint: Mapping[str, Any]) -> None:
    """Set the loops of ``checkpoint`` to before the end of the epoch."""
    epochs = checkpoint["loops"]["fit_loop"][_EPOCHS]
    for count in _COUNTS:
        epochs[count]["processed"] -= 1
        n_done = min(epochs[count]["completed"], epochs[count]["processed"])
        epochs[count]["completed"] = n_done


def unfinished_batch(trainer: Trainer, *, validates: bool) -> dict[str, bool] | None:
    """Return what a checkpoint stores; None if a batch has nothing left to do."""
    loop: Any = trainer.fit_loop.epoch_loop
    epochs: Any = trainer.fit_loop.epoch_progress.current
    is_in_epoch = epochs.processed < epochs.started == epochs.ready
    n_batches = loop.batch_progress.current
    is_at_end = n_batches.completed < n_batches.processed == n_batches.ready
    if not is_in_epoch or not is_at_end:
        return None
    return {
        "is_last": loop._num_ready_batches_reached(),
        "validates": validates,
        "steps": not loop._should_accumulate(),
    }
