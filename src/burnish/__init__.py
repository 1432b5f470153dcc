"""Burnish saves, loads, configures and optimizes PyTorch modules.

Every name is imported when it is first used; `import burnish` imports nothing else.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import cli, config, core, optim, records, train
    from .core import (
        Module,
        allow_classes,
        freeze,
        from_hyperparameters,
        from_pretrained,
        from_record,
        get_hparams,
        load_record,
        map_params,
        module,
        named_params,
        num_params,
        predict,
        register_class,
        register_function,
        register_hparams,
        save_pretrained,
        save_record,
        skip_init,
        summary,
        thaw,
    )
    from .records import Record, open_record, trainable, verify_file
    from .train import Checkpoints, diff

__version__ = "0.1.0"

__all__ = [
    "Checkpoints",
    "Module",
    "Record",
    "allow_classes",
    "cli",
    "config",
    "core",
    "diff",
    "freeze",
    "from_hyperparameters",
    "from_pretrained",
    "from_record",
    "get_hparams",
    "load_record",
    "map_params",
    "module",
    "named_params",
    "num_params",
    "open_record",
    "optim",
    "predict",
    "records",
    "register_class",
    "register_function",
    "register_hparams",
    "save_pretrained",
    "save_record",
    "skip_init",
    "summary",
    "thaw",
    "train",
    "trainable",
    "verify_file",
]

_PACKAGES = ("cli", "config", "core", "optim", "records", "train")
_HOME = {
    "Checkpoints": "train",
    "Record": "records",
    "diff": "train",
    "open_record": "records",
    "trainable": "records",
    "verify_file": "records",
}


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}{_hint(name)}"
        )
    value = getattr(import_module(f".{_HOME.get(name, 'core')}", __name__), name)
    globals()[name] = value
    return value


_ELSEWHERE = {
    "save": "burnish.save_record(module, file)",
    "load": "burnish.load_record(module, file), or burnish.open_record(file)",
    "open": "burnish.open_record(file)",
    "verify": "burnish.verify_file(file), or burnish verify in a shell",
    "show": "print(burnish.open_record(file)), or burnish show in a shell",
    "unfreeze": "burnish.thaw(module)",
    "Blueprint": "burnish.core.blueprint.Blueprint",
}


def _hint(name: str) -> str:
    """Return where what other libraries have under ``name`` is here."""
    from importlib import import_module

    if name in _ELSEWHERE:
        return f"; it is {_ELSEWHERE[name]}"
    if name.startswith("_"):
        return ""
    for package in ("config", "records", "core", "optim", "train"):
        if name in import_module(f".{package}", __name__).__all__:
            return f"; it is burnish.{package}.{name}"
    return ""


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
