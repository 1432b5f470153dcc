"""The configuration of a model and its training, with defaults."""

import random
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator

from ..config.hparams import Hparam, Hparams

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def _numbers(values: object) -> Any:
    """Return arguments with strings such as ``1e-3`` in old YAML as numbers."""
    if isinstance(values, dict):
        return {key: _numbers(value) for key, value in values.items()}
    if isinstance(values, str) and _NUMBER.fullmatch(values):
        return float(values)
    return values


Arguments = Annotated[dict[str, Any], BeforeValidator(_numbers)]
"""Arguments of a class: any names, and strings that are numbers converted."""

Mode = Literal["min", "max"]


class OptimizerHparams(Hparams):
    """The optimizer, by name, and its arguments."""

    module_name: str = Hparam(
        default="torch.optim.Adam",
        description="torch.optim.X, burnish.optim.X, or any importable name",
    )
    kwargs: Arguments = Hparam(
        default_factory=dict,
        description="its arguments; numbers may be edited during a run",
        editable=True,
    )


class SchedulerHparams(Hparams):
    """The schedule of the learning rate, by name, and when it is stepped."""

    module_name: str | None = Hparam(
        default=None, description="torch.optim.lr_scheduler.X; None for a constant rate"
    )
    kwargs: Arguments = Hparam(default_factory=dict, description="its arguments")
    interval: Literal["epoch", "step"] = "epoch"
    frequency: int = Hparam(default=1, ge=1)
    monitor: str | None = Hparam(
        default=None, description="what ReduceLROnPlateau watches"
    )


class CheckpointHparams(Hparams):
    """The checkpoints that are kept."""

    dirpath: str | None = Hparam(default=None, description="default: the run's folder")
    filename: str | None = Hparam(
        default=None, description="default: epoch and the monitored value"
    )
    monitor: str | None = "validation/loss"
    mode: Mode = "min"
    save_last: bool = True
    save_top_k: int = Hparam(default=3, ge=-1)
    every_n_epochs: int = Hparam(default=1, ge=1)
    only: str | list[str] | None = Hparam(
        default=None,
        description="patterns of the model's tensors to save; default: all",
    )
    exclude: str | list[str] | None = Hparam(
        default=None, description="patterns of the model's tensors not to save"
    )
    unchanged: Literal["write", "link"] = Hparam(
        default="write",
        description="link: do not write again what the previous checkpoint has",
    )
    wait: bool = Hparam(
        default=True,
        description="whether training waits until each checkpoint is written",
    )
    snapshot: Literal["copy", "lazy"] = Hparam(
        default="copy",
        description="with wait=False: copy everything at once, or before a step",
    )
    staging: int = Hparam(
        default=64 << 20,
        ge=0,
        description="with snapshot=lazy: the largest number of bytes to copy at a step",
    )


class EarlyStoppingHparams(Hparams):
    """When training ends before its last epoch."""

    monitor: str = "validation/loss"
    min_delta: float = 0.0
    patience: int = Hparam(default=3, ge=0)
    mode: Mode = "min"
    stopping_threshold: float | None = None
    divergence_threshold: float | None = None
    check_finite: bool = True


class ModelHparams(Hparams):
    """How a model is trained; a model's own settings are a subclass's fields."""

    module_name: str | None = Hparam(
        default=None, description="the model's class, for the command line"
    )
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    optimizer: OptimizerHparams = Hparam(default_factory=OptimizerHparams)
    scheduler: SchedulerHparams | None = None
    checkpoint: CheckpointHparams | None = Hparam(default_factory=CheckpointHparams)
    early_stopping: EarlyStoppingHparams | None = None


class DataLoaderHparams(Hparams):
    """How batches are formed; only training data are shuffled."""

    batch_size: int = Hparam(default=64, ge=1)
    shuffle: bool = False
    num_workers: int = Hparam(default=0, ge=0)
    pin_memory: bool = False
    persistent_workers: bool = False
    drop_last: bool = False


class DataHparams(Hparams):
    """The data, and how they are split."""

    module_name: str | None = Hparam(
        default=None, description="the data's class, for the command line"
    )
    loader: DataLoaderHparams | None = None
    seed: int = Hparam(
        default_factory=lambda: random.SystemRandom().randrange(10_000),
        description="seed of the split and the order; drawn and stored if not set",
    )
    split: tuple[float, float] | tuple[float, float, float] = Hparam(
        default=(0.8, 0.1, 0.1), description="shares of training, validation, test"
    )

    @field_validator("split")
    @classmethod
    def _is_whole(cls, split: tuple[float, ...]) -> tuple[float, ...]:
        if any(share < 0 for share in split) or abs(sum(split) - 1) > 1e-9:
            raise ValueError(f"the shares must sum to 1, got {split}")
        return split
