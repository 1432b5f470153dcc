"""The set-up that StochasticWeightAveraging does when an epoch starts.

Lightning starts no epoch that is resumed: it would end without a step of the
averaging's schedule, and a checkpoint saved in it would lack the count of averaged
weights, so that a run resumed from it would begin its average from scratch.
"""

import copy
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging


def resume_averaging(trainer: Trainer) -> None:
    """Set up the averaging of a resumed epoch; do nothing at the start of an epoch.

    The module and the learning rates stay as they are.
    """
    progress: Any = trainer.fit_loop.epoch_progress.current
    is_in_epoch = progress.processed < progress.started == progress.ready
    callbacks: list[Any] = vars(trainer)["callbacks"]
    for callback in callbacks:
        if is_in_epoch and isinstance(callback, StochasticWeightAveraging):
            _start_epoch(callback, trainer)


def _start_epoch(callback: StochasticWeightAveraging, trainer: Trainer) -> None:
    module = trainer.lightning_module
    groups = [g for o in trainer.optimizers for g in o.param_groups]
    # Creating its schedule sets a learning rate, and its last epoch, which measures the
    # statistics of normalization layers, resets those to zero.
    rates, state = [g["lr"] for g in groups], copy.deepcopy(module.state_dict())
    callback.on_train_epoch_start(trainer, module)
    module.load_state_dict(state)
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
