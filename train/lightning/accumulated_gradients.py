"""Accumulated gradients of batches whose optimizer step has not happened yet.

Lightning saves none: a run that resumes from a checkpoint between two such batches (a
validation saves there, a time interval, an exception) would step with the gradients of
the later batches only. It also forgets over how many batches a
``GradientAccumulationScheduler`` accumulates in the resumed epoch.
"""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ...records.errors import RecordMismatchError
from ...records.tensors.memory import is_distributed
from ..checkpoints.process_generators import gathered_states, state_of_process
from .unfinished_batch import is_in_batch

_LOST = (
    "the checkpoint was saved between two batches of one optimizer step, and {reason}: "
    "the first step has only the gradients of the batches that follow, so it differs "
    "from an uninterrupted run. Save at a step (every_n_train_steps)"
)


class AccumulatedGradients:
    """Lets one trainer resume with the gradients that it had."""

    def __init__(self) -> None:
        self._stored: Mapping[str, Any] | None = None

    @staticmethod
    def to_store(trainer: Trainer) -> dict[str, Any] | None:
        """Return what a checkpoint stores; None where the next batch starts at zero.

        Every process of the group calls this, each at the same batch.
        """
        is_within = is_in_batch(trainer)
        if not (_has_begun_step(trainer) if is_within else is_accumulating(trainer)):
            return None
        grads = {n: p.grad for n, p in _params(trainer) if p.grad is not None}
        # The shares of one process are of no use to another, and the gradients of a
        # batch that is trained again may be included already.
        lost = is_within or any(is_distributed(grad) for grad in grads.values())
        values = {} if lost else {n: g.detach().cpu() for n, g in grads.items()}
        return gathered_states({"lost": lost, "grads": values})

    def load(self, stored_state: object) -> None:
        """Accept what `to_store` returned when the checkpoint was saved."""
        self._stored = stored_state if isinstance(stored_state, Mapping) else None

    def training_begins(self, trainer: Trainer) -> None:
        """Restore the gradients, and the accumulation of this epoch."""
        stored_state, self._stored = self._stored, None
        callbacks: list[Any] = vars(trainer)["callbacks"]
        for callback in callbacks:
            if isinstance(callback, GradientAccumulationScheduler):
                # Lightning sets it at the start of an epoch, which a resumed epoch does
                # not have.
                n_batches = callback.get_accumulate_grad_batches(trainer.current_epoch)
                trainer.accumulate_grad_batches = n_batches
        if stored_state is None:
            return
        try:
            state = state_of_process(stored_state, "")
        except RecordMismatchError:
            rank_zero_warn(_LOST.format(reason="by another number of processes"))
            return
        if state["lost"]:
            reason = "gradients in shares, or within a batch, are not kept"
            rank_zero_warn(_LOST.format(reason=reason))
        for name, param in _params(trainer):
            grad = state["grads"].get(name)
            if grad is not None and grad.shape == param.shape:
                param.grad = grad.to(param.device, param.dtype, copy=True)


def is_accumulating(trainer: Trainer) -> bool:
    """Return whether the batch that ended is followed by others of the same step."""
    loop: Any = trainer.fit_loop.epoch_loop
    is_begun = loop.batch_progress.current.ready > 0
    return is_begun and bool(loop._should_accumulate())


def _has_begun_step(trainer: Trainer) -> bool:
    """Return whether earlier batches contributed gradients to the next step."""
    n_done: int = trainer.fit_loop.epoch_loop.batch_progress.current.completed
    return n_done % trainer.accumulate_grad_batches != 0


def _params(trainer: Trainer) -> list[tuple[str, Tensor]]:
    module = trainer.lightning_module
    return [*module.named_parameters()] if module.automatic_optimization else []
