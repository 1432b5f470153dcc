"""Lightning's checkpoints of modules built by a blueprint: plain data, no pickle."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch

from ...config.process.interrupts import raise_of_signal
from .blueprint import Blueprint
from .stored.provenance import HYPERPARAMETERS, KEY


def reopen_blueprints(cls: Any) -> None:
    """Let ``cls.load_from_checkpoint`` use the blueprint in a checkpoint."""
    if "load_from_checkpoint" not in cls.__dict__ and _function(cls) is not _load:
        cls.load_from_checkpoint = classmethod(cast(Any, _load))


def _load(
    cls: Any,
    checkpoint_path: Any,
    map_location: object = None,
    hparams_file: object = None,
    strict: bool | None = None,
    weights_only: bool | None = None,
    **kwargs: object,
) -> Any:
    """Return the module in a checkpoint, as Lightning does, and as it was configured.

    Without a blueprint in the checkpoint Lightning loads it.
    """
    if hparams_file is None:
        module = rebuilt(cls, checkpoint_path, map_location, strict, **kwargs)
        if module is not None:
            return module
    return _function(cls, after=_load)(
        cls,
        checkpoint_path,
        map_location=map_location,
        strict=strict,
        hparams_file=hparams_file,
        weights_only=weights_only,
        **kwargs,
    )


def rebuilt(
    cls: Any,
    file: Any,
    map_location: object = None,
    strict: bool | None = None,
    **kwargs: object,
) -> Any:
    """Return the ``cls`` in a torch checkpoint, as it was configured.

    None if the checkpoint has no blueprint, or only Lightning can read it.
    """
    factory = built_as(cls, _hyperparameters_in(file), kwargs)
    if factory is None:
        return None
    module: Any = factory()
    checkpoint = _read(file, map_location)
    module.configure_model()
    module.on_load_checkpoint(checkpoint)
    is_strict = module.strict_loading if strict is None else strict
    module.load_state_dict(checkpoint["state_dict"], strict=is_strict)
    device = next((t.device for t in checkpoint["state_dict"].values()), None)
    return module if device is None else module.to(device)


def built_as(
    cls: Any, hyperparameters: object, kwargs: Mapping[str, object]
) -> Callable[[], Any] | None:
    """Return what builds ``cls`` by the blueprint in a checkpoint's hyperparameters.

    None if there is none. ``kwargs`` replace the arguments of the whole.
    """
    hparams = hyperparameters if isinstance(hyperparameters, Mapping) else {}
    text = hparams.get(KEY)
    if not isinstance(text, str):
        return None
    blueprint: Any = Blueprint.from_dict(json.loads(text), cls)
    if kwargs:
        blueprint.configure(**kwargs)
    build: Callable[[], Any] = blueprint.build
    return build


def _hyperparameters_in(file: Any) -> Any:
    """Return hyperparameters of a torch checkpoint; None if only Lightning can."""
    # An open file is read again by the code that loads it, so its position is restored.
    is_open = hasattr(file, "seek")
    position = file.tell() if is_open else 0
    if not is_open and not os.path.exists(file):
        return None
    try:
        checkpoint = _read(file, "cpu")
    except Exception as error:
        raise_of_signal(error)
        # Pickled classes, or not a checkpoint: Lightning reports what is wrong.
        return None
    finally:
        if is_open:
            file.seek(position)
    return checkpoint.get(HYPERPARAMETERS) if isinstance(checkpoint, dict) else None


def _read(file: Any, map_location: Any) -> Any:
    return torch.load(file, map_location=map_location, weights_only=True)


def _function(cls: Any, after: Any = None) -> Any:
    """Return the function that ``cls`` has, or the one inherited after ``after``."""
    for base in cls.__mro__:
        member = base.__dict__.get("load_from_checkpoint")
        function = getattr(member, "__func__", None)
        if function is not None and function is not after:
            return function
    return None
