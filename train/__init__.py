"""Training runs: checkpoints of any loop, HyperState, and Lightning models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint import Checkpoint
    from .checkpoints import Checkpoints
    from .class_lookup import register_named
    from .data import DataModule
    from .hparams import (
        CheckpointHparams,
        DataHparams,
        DataLoaderHparams,
        EarlyStoppingHparams,
        ModelHparams,
        OptimizerHparams,
        SchedulerHparams,
    )
    from .hyperstate import HyperState
    from .lightning_io import RecordIO
    from .load_module import load_lightning
    from .loader import ResumableLoader, ResumableSampler
    from .model import Model
    from .record_checkpoint import RecordCheckpoint
    from .serializable import Blob, Lazy, Serializable

__all__ = [
    "Blob",
    "Checkpoint",
    "CheckpointHparams",
    "Checkpoints",
    "DataHparams",
    "DataLoaderHparams",
    "DataModule",
    "EarlyStoppingHparams",
    "HyperState",
    "Lazy",
    "Model",
    "ModelHparams",
    "OptimizerHparams",
    "RecordCheckpoint",
    "RecordIO",
    "ResumableLoader",
    "ResumableSampler",
    "SchedulerHparams",
    "Serializable",
    "load_lightning",
    "register_named",
]

_HOME = {
    "Blob": "serializable",
    "Checkpoint": "checkpoint",
    "CheckpointHparams": "hparams",
    "Checkpoints": "checkpoints",
    "DataHparams": "hparams",
    "DataLoaderHparams": "hparams",
    "DataModule": "data",
    "EarlyStoppingHparams": "hparams",
    "HyperState": "hyperstate",
    "Lazy": "serializable",
    "Model": "model",
    "ModelHparams": "hparams",
    "OptimizerHparams": "hparams",
    "RecordCheckpoint": "record_checkpoint",
    "RecordIO": "lightning_io",
    "ResumableLoader": "loader",
    "ResumableSampler": "loader",
    "SchedulerHparams": "hparams",
    "Serializable": "serializable",
    "load_lightning": "load_module",
    "register_named": "class_lookup",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f".{_HOME[name]}", __name__)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "lightning":
            raise
        hint = "needs lightning: pip install 'burnish[train]'"
        raise ImportError(f"burnish.train.{name} {hint}") from missing
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
