"""Lightning's checkpoints of modules that a blueprint built: plain data, no pickle."""

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from .origin import Origin

KEY = "burnish_blueprint"
"""Where the hyperparameters in a checkpoint have the blueprint, as JSON."""

_HYPERPARAMETERS = "hyper_parameters"


def keep_blueprint(module: nn.Module, origin: "Origin") -> None:
    """Let the checkpoints of a LightningModule hold what ``module`` was built from."""
    if hasattr(module, "load_from_checkpoint"):
        module.__dict__["on_save_checkpoint"] = _Saving(module, origin)


def reopen_blueprints(cls: Any) -> None:
    """Let ``cls.load_from_checkpoint`` build what a checkpoint says was built."""
    if "load_from_checkpoint" not in cls.__dict__ and _function(cls) is not _load:
        cls.load_from_checkpoint = classmethod(cast(Any, _load))


class _Saving:
    """Calls the module's own hook, then adds the blueprint."""

    def __init__(self, module: nn.Module, origin: "Origin | None") -> None:
        self._module, self._origin = module, origin

    def __call__(self, checkpoint: dict[str, Any]) -> None:
        cls: Any = type(self._module)
        cls.on_save_checkpoint(self._module, checkpoint)
        if self._origin is None:
            return
        blueprint = self._origin.to_dict()
        # The blueprint has the arguments that are not plain data, such as classes.
        given = checkpoint.get(_HYPERPARAMETERS, {})
        plain = {name: value for name, value in given.items() if _is_plain(value)}
        checkpoint[_HYPERPARAMETERS] = {**plain, KEY: json.dumps(blueprint)}


def _load(
    cls: Any,
    checkpoint_path: Any,
    map_location: Any = None,
    hparams_file: Any = None,
    strict: bool | None = None,
    weights_only: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Return the module in a checkpoint, as Lightning does, and as it was configured.

    Without a blueprint in the checkpoint all is left to Lightning.
    """
    data = None if hparams_file is not None else _blueprint_in(checkpoint_path)
    if data is None:
        options = {"map_location": map_location, "hparams_file": hparams_file}
        options |= {"strict": strict, "weights_only": weights_only}
        return _function(cls, after=_load)(cls, checkpoint_path, **options, **kwargs)
    from . import Blueprint

    blueprint = Blueprint.from_dict(data, cls)
    if kwargs:
        blueprint.configure(**kwargs)
    module: Any = blueprint.build()
    checkpoint = _read(checkpoint_path, map_location)
    module.configure_model()
    module.on_load_checkpoint(checkpoint)
    is_strict = module.strict_loading if strict is None else strict
    module.load_state_dict(checkpoint["state_dict"], strict=is_strict)
    device = next((t.device for t in checkpoint["state_dict"].values()), None)
    return module if device is None else module.to(device)


def _blueprint_in(file: Any) -> Any:
    """Return the blueprint's data; None where Lightning has to see to it."""
    is_open = hasattr(file, "seek")
    position = file.tell() if is_open else 0
    if not is_open and not os.path.exists(file):
        return None
    try:
        checkpoint = _read(file, "cpu")
    except Exception:  # pickled classes, or no checkpoint: Lightning says what is wrong
        return None
    finally:
        if is_open:
            file.seek(position)
    told = checkpoint.get(_HYPERPARAMETERS) if isinstance(checkpoint, dict) else None
    text = told.get(KEY) if isinstance(told, Mapping) else None
    return json.loads(text) if isinstance(text, str) else None


def _read(file: Any, map_location: Any) -> Any:
    return torch.load(file, map_location=map_location, weights_only=True)


def _function(cls: Any, after: Any = None) -> Any:
    """Return the function that ``cls`` has, or the one behind ``after``."""
    for base in cls.__mro__:
        found = base.__dict__.get("load_from_checkpoint")
        function = getattr(found, "__func__", None)
        if function is not None and function is not after:
            return function
    return None


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
