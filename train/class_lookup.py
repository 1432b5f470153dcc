"""Classes named in a configuration: torch's, ours, registered and user-defined ones."""

import importlib
import sys
from typing import Any, TypeVar

import torch

from ..config.registry import Registry
from ..config.spelling import did_you_mean
from ..optim.simple import SimpleOptimizer

T = TypeVar("T")

_registered: Registry[str, type[Any]] = Registry()


def register_named(name: str, cls: type[T]) -> type[T]:
    """Let configurations and checkpoints name ``cls``; it replaces one of that name."""
    _registered.register(name, value=cls)
    return cls


def optimizer_named(name: str, *, may_import: bool) -> Any:
    """Return the optimizer class called ``name``: of torch, or a simple one of ours."""
    from .. import optim

    kinds = (torch.optim.Optimizer, SimpleOptimizer)
    ours = {n: getattr(optim, n) for n in optim.__all__ if n[0].isupper()}
    theirs = _classes_in(torch.optim, torch.optim.Optimizer)
    classes = {**ours, **theirs, **_registered}
    classes |= {f"burnish.optim.{n}": cls for n, cls in ours.items()}
    classes |= {f"torch.optim.{n}": cls for n, cls in theirs.items()}
    return _find_class(name, classes, kinds, "an optimizer", may_import=may_import)


def scheduler_named(name: str, *, may_import: bool) -> Any:
    """Return the class of a learning rate schedule called ``name``."""
    theirs = _classes_in(torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler)
    classes = {**theirs, **_registered}
    classes |= {f"torch.optim.lr_scheduler.{n}": cls for n, cls in theirs.items()}
    kinds = (torch.optim.lr_scheduler.LRScheduler,)
    return _find_class(name, classes, kinds, "a scheduler", may_import=may_import)


def user_class(name: str, kind: type[T], role: str) -> type[T]:
    """Return the user's class called ``name``; its module is imported."""
    cls: type[T] = _find_class(name, dict(_registered), (kind,), role, may_import=True)
    return cls


def _classes_in(module: object, kind: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, kind) and value is not kind
    }


def _find_class(
    name: str,
    classes: dict[str, Any],
    kinds: tuple[type, ...],
    role: str,
    *,
    may_import: bool,
) -> Any:
    cls = classes.get(name)
    if cls is None and "." in name:
        cls = _import_class(name, role, may_import=may_import)
    if cls is None:
        hint = did_you_mean(name, classes)
        raise ValueError(f"{name!r} is not the name of {role}.{hint}")
    if not (isinstance(cls, type) and issubclass(cls, kinds)):
        names = " or ".join(f"{k.__module__}.{k.__qualname__}" for k in kinds)
        raise TypeError(f"{name!r} is not {role}: expected a subclass of {names}")
    return cls


def _import_class(name: str, role: str, *, may_import: bool) -> Any:
    module_name, _, attribute = name.rpartition(".")
    module = sys.modules.get(module_name)
    if module is None:
        if not may_import:
            raise ValueError(
                f"{name!r} comes from a checkpoint, and checkpoints import nothing: "
                f"import {module_name} first, if you trust it"
            )
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as missing:
            raise ValueError(
                f"{name!r} should be {role}, but there is no module {missing.name!r}; "
                "give the full path of the class, and run where it can be imported"
            ) from missing
    if not hasattr(module, attribute):
        names = [n for n in vars(module) if not n.startswith("_")]
        hint = did_you_mean(attribute, names)
        raise ValueError(f"{module_name} has no {attribute!r}, {role}.{hint}")
    return getattr(module, attribute)
