"""The module argument of a function; for anything else, what to call instead."""

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from ...config.short_text import with_article
from ...records.entries.encoder import Storable

P = ParamSpec("P")
R = TypeVar("R")


def check_module(value: object, verb: str) -> None:
    """Raise TypeError unless ``value``, the first argument of ``verb``, is a module."""
    if not isinstance(value, nn.Module):
        raise TypeError(
            f"{verb}: the first argument is {with_article(type(value).__name__)}, "
            f"expected a module. {_cure(value, verb)}"
        )


def method_of_modules(method: Callable[P, R]) -> Callable[P, R]:
    """Raise a helpful error if ``method`` is called on the class, without a module.

    Python would take the file for the module, and report another argument as missing.
    """

    @wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not args or not isinstance(args[0], nn.Module):
            name = method.__name__
            raise TypeError(
                f"{name} is a method of modules, and was called on the class. Build a "
                f"module first: net = Net(...), then net.{name}(...); or load one "
                "from a file: Net.from_record(file)."
            )
        return method(*args, **kwargs)

    return checked


def _cure(value: object, verb: str) -> str:
    if isinstance(value, type) and issubclass(value, nn.Module):
        name = value.__name__
        return (
            f"{name} is a class: build a module, {name}(...), or load one from a "
            f"file, burnish.from_record({name}, file)."
        )
    is_file = isinstance(value, str | bytes | os.PathLike)
    if is_file or (isinstance(value, Storable) and verb == "load_record"):
        return f"The module comes first: {verb}(module, ...)."
    if isinstance(value, torch.optim.Optimizer):
        return (
            "An optimizer of burnish.optim has these methods itself, "
            "optimizer.save_record(file) and optimizer.load_record(file); for any "
            "other, store the state dict, save_record(optimizer.state_dict(), file), "
            "or let burnish.Checkpoints store it."
        )
    if isinstance(value, Storable):
        return "A record has its own method: record.save(file)."
    if isinstance(value, Mapping):
        return _cure_of_mapping(dict(value))
    return "Pass the module itself, not its parts or an object that holds it."


def _cure_of_mapping(values: dict[object, object]) -> str:
    if values and all(isinstance(item, Tensor) for item in values.values()):
        return (
            "Turn a state dict into a record, "
            "burnish.Record.from_state_dict(state_dict), which can be saved, "
            ".save(file), and loaded, burnish.load_record(module, record)."
        )
    return (
        "To store several objects together, use burnish.Checkpoints; or give each "
        "module a file of its own."
    )
