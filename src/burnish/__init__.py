"""Burnish saves, loads, configures and optimizes PyTorch modules.

Every name is imported when it is first used; `import burnish` imports nothing else.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import cli, config, core, optim, records, train
    from .core import (
        Module,
        from_record,
        load_record,
        map_params,
        module,
        named_params,
        save_record,
        skip_init,
    )
    from .records import Record, open_record, trainable, verify_file

__version__ = "0.1.0"

__all__ = [
    "Module",
    "Record",
    "cli",
    "config",
    "core",
    "from_record",
    "load_record",
    "map_params",
    "module",
    "named_params",
    "open_record",
    "optim",
    "records",
    "save_record",
    "skip_init",
    "train",
    "trainable",
    "verify_file",
]

_PACKAGES = ("cli", "config", "core", "optim", "records", "train")
_HOME = {
    **dict.fromkeys(("Record", "open_record", "trainable", "verify_file"), "records"),
    **dict.fromkeys(
        (
            "Module",
            "from_record",
            "load_record",
            "map_params",
            "module",
            "named_params",
            "save_record",
            "skip_init",
        ),
        "core",
    ),
}


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
