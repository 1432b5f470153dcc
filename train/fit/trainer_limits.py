"""Numbers of a Trainer that may change while it trains."""

from collections.abc import Callable
from functools import partial
from typing import Any

from lightning.pytorch import Trainer

from ...config.errors import ConfigError, Problem
from ...config.process.transaction import Transaction
from .fit_config import RUN, TrainerHparams


def take_limits(
    trainer: Trainer,
    before: TrainerHparams,
    after: TrainerHparams,
    transaction: Transaction,
) -> None:
    """Give ``trainer`` the numbers that ``after`` has otherwise.

    Raises ConfigError, and changes nothing, for one that it would refuse.
    """
    changed = {name: after[name] for name in _HOLDERS if after[name] != before[name]}
    for name, value in changed.items():
        _check(trainer, name, value)
    for name, value in changed.items():
        holder: Any = _HOLDERS[name](trainer)
        transaction.undo_with(partial(setattr, holder, name, getattr(holder, name)))
        setattr(holder, name, value)


_HOLDERS: dict[str, Callable[[Trainer], Any]] = {
    "max_epochs": lambda trainer: trainer.fit_loop,
    "max_steps": lambda trainer: trainer.fit_loop.epoch_loop,
    "gradient_clip_val": lambda trainer: trainer,
    "log_every_n_steps": lambda trainer: trainer,
}
"""What holds each number, under its name."""


def _check(trainer: Trainer, name: str, value: Any) -> None:
    problem = ""
    if name in ("max_epochs", "max_steps") and (value is None or value < -1):
        problem = f"expected a count, or -1 for no limit, found {value}"
    elif name == "gradient_clip_val" and value is not None and value < 0:
        problem = f"expected a number of at least 0, or null, found {value}"
    elif name == "gradient_clip_val" and not _clips(trainer):
        problem = "the trainer does not clip gradients under manual optimization"
    if problem:
        raise ConfigError("", [Problem(f"{RUN}.trainer.{name}", problem)])


def _clips(trainer: Trainer) -> bool:
    return bool(trainer.lightning_module.automatic_optimization)
