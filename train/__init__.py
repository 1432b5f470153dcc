"""Training runs: checkpoints of any loop, HyperState, and Lightning models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint import Checkpoint
    from .checkpoints import Checkpoints
    from .hyperstate import HyperState
    from .loader import ResumableLoader, ResumableSampler
    from .serializable import Blob, Lazy, Serializable

__all__ = [
    "Blob",
    "Checkpoint",
    "Checkpoints",
    "HyperState",
    "Lazy",
    "ResumableLoader",
    "ResumableSampler",
    "Serializable",
]

_HOME = {
    "Checkpoint": "checkpoint",
    "Checkpoints": "checkpoints",
    "HyperState": "hyperstate",
    "ResumableLoader": "loader",
    "ResumableSampler": "loader",
    "Blob": "serializable",
    "Lazy": "serializable",
    "Serializable": "serializable",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
