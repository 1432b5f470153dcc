"""Training runs: checkpoints for any loop, HyperState, and Lightning models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..config.lazy_exports import unknown_name

if TYPE_CHECKING:
    from ..config.classes.field_types import Serializable
    from .checkpoints.checkpoint import Checkpoint
    from .checkpoints.checkpoints import Checkpoints
    from .class_lookup import register_named
    from .hparams import (
        CheckpointHparams,
        DataHparams,
        DataLoaderHparams,
        EarlyStoppingHparams,
        ModelHparams,
        OptimizerHparams,
        SchedulerHparams,
    )
    from .hyperstate.field_marks import Blob, Lazy
    from .hyperstate.hyperstate import HyperState
    from .hyperstate.load_state import load_state
    from .hyperstate.stateful_command import stateful_command
    from .inspection.diff import diff
    from .inspection.diff_result import Diff
    from .lightning.data_module import DataModule
    from .lightning.load_module import load_lightning
    from .lightning.model import Model
    from .lightning.record_checkpoint import RecordCheckpoint
    from .lightning.record_io import RecordIO
    from .resumable_loader import ResumableLoader, ResumableSampler

__all__ = [
    "Blob",
    "Checkpoint",
    "CheckpointHparams",
    "Checkpoints",
    "DataHparams",
    "DataLoaderHparams",
    "DataModule",
    "Diff",
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
    "diff",
    "load_lightning",
    "load_state",
    "register_named",
    "stateful_command",
]

_HOME = {
    "Blob": "hyperstate.field_marks",
    "Checkpoint": "checkpoints.checkpoint",
    "CheckpointHparams": "hparams",
    "Checkpoints": "checkpoints.checkpoints",
    "DataHparams": "hparams",
    "DataLoaderHparams": "hparams",
    "DataModule": "lightning.data_module",
    "EarlyStoppingHparams": "hparams",
    "Diff": "inspection.diff_result",
    "HyperState": "hyperstate.hyperstate",
    "Lazy": "hyperstate.field_marks",
    "Model": "lightning.model",
    "ModelHparams": "hparams",
    "OptimizerHparams": "hparams",
    "RecordCheckpoint": "lightning.record_checkpoint",
    "RecordIO": "lightning.record_io",
    "ResumableLoader": "resumable_loader",
    "ResumableSampler": "resumable_loader",
    "SchedulerHparams": "hparams",
    "Serializable": ".config.classes.field_types",
    "diff": "inspection.diff",
    "load_lightning": "lightning.load_module",
    "load_state": "hyperstate.load_state",
    "register_named": "class_lookup",
    "stateful_command": "hyperstate.stateful_command",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(unknown_name(__name__, name))
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
