"""Modules: what they have learned as records, what they are as hyperparameters."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .decorator import Module, module
    from .identity import map_params, named_params
    from .loading import from_record, load_record, report_of
    from .saving import into_record, save_record
    from .uninitialized import skip_init

__all__ = [
    "Module",
    "from_record",
    "into_record",
    "load_record",
    "map_params",
    "module",
    "named_params",
    "report_of",
    "save_record",
    "skip_init",
]

_HOME = {
    "Module": "decorator",
    "from_record": "loading",
    "into_record": "saving",
    "load_record": "loading",
    "map_params": "identity",
    "module": "decorator",
    "named_params": "identity",
    "report_of": "loading",
    "save_record": "saving",
    "skip_init": "uninitialized",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
