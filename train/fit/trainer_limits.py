"""Numbers of a Trainer that may change while it trains."""

from collections.abc import Callable
from functools import partial
from typing import Any

from lightning.pytorch import Trainer

from ...config.process.transaction import Undo, undo_all
from .fit_config import TrainerHparams


def take_limits(
    trainer: Trainer, before: TrainerHparams, after: TrainerHparams
) -> Undo:
    """Give ``trainer`` the numbers that ``after`` has otherwise, and return the undo.

    Raises ValueError, and changes nothing, for one that it would refuse.
    """
    changed = {name: after[name] for name in _HOLDERS if after[name] != before[name]}
    for name, value in changed.items():
        _check(trainer, name, value)
    undos: list[Undo] = []
    for name, value in changed.items():
        holder: Any = _HOLDERS[name](trainer)
        undos.append(partial(setattr, holder, name, getattr(holder, name)))
        setattr(holder, name, value)
    return partial(undo_all, undos)


_HOLDERS: dict[str, Callable[[Trainer], Any]] = {
    "max_epochs": lambda trainer: trainer.fit_loop,
    "max_steps": lambda trainer: trainer.fit_loop.epoch_loop,
    "gradient_clip_val": lambda trainer: trainer,
    "log_every_n_steps": lambda trainer: trainer,
}
"""What holds each number, under its name."""


def _check(trainer: Trainer, name: str, value: Any) -> None:
    if name in ("max_epochs", "max_steps") and (value is None or value < -1):
        raise ValueError(f"{name}: expected a count, or -1 for no end, found {value}")
    if name != "gradient_clip_val":
        return
    if value is not None and value < 0:
        raise ValueError(f"{name}: expected a number from 0 on, or null, found {value}")
    if not trainer.lightning_module.automatic_optimization:
        raise ValueError(f"{name}: the model clips its gradients itself, or does not")
