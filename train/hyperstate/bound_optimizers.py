"""Optimizers whose groups follow the config: a schedule, and an edit of a live run."""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch

from ...config.errors import ConfigError, Problem
from ...config.path import parts
from ...config.process.transaction import Transaction, Undo, all_or_nothing
from ...config.short_text import short_repr
from ...config.spelling import did_you_mean
from ...optim.tensor_optimizer import TensorOptimizer, hyperparameters
from .lazy_fields import value_in_state

Group = dict[str, Any]

_ENGINE_CHOICES = {"params", "foreach", "fused", "capturable", "differentiable"}
"""Arguments of torch's optimizers that are about the parameters, and not the step."""


class BoundOptimizers:
    """Which keys of which groups have the value of which field of the config."""

    def __init__(self) -> None:
        self._bonds: list[Bond] = []

    def bind(self, optim: Any, config: Any, paths: dict[str, str]) -> None:
        """Let ``paths``, field by key, hold for all groups; set them from ``config``.

        Raises ValueError for a key that no group has, or a field that is not a number.
        """
        owner = None if isinstance(optim, dict) else optim
        bonds = [
            Bond(group, key, path, owner)
            for group in _groups(optim)
            for key, path in paths.items()
        ]
        for bond in bonds:
            bond.check(config)
        all_or_nothing(partial(_update, bonds, config))
        self._bonds.extend(bonds)

    def update(self, config: Any) -> None:
        """Give the groups what ``config`` says.

        A group whose field is as it was keeps what it has, whoever set it. If a group
        refuses its value, none has a new one.
        """
        # Each step of a run comes here, so that signals are not held back meanwhile.
        transaction = Transaction()
        try:
            _update(self._bonds, config, transaction)
        except BaseException:
            transaction.undo()
            raise

    def edit(self, config: Any, transaction: Transaction) -> None:
        """Do as `update` for a ``config`` that a person wrote.

        Raises ConfigError also for what an optimizer of torch would refuse when it is
        made, and its step would take without a word.
        """
        before = [bond.value for bond in self._bonds]
        _update(self._bonds, config, transaction)
        check_as_torch(
            bond
            for bond, value in zip(self._bonds, before, strict=True)
            if bond.value != value
        )


class Bond:
    """One key of one group."""

    def __init__(self, group: Group, key: str, path: str, owner: Any = None) -> None:
        self.group, self.key, self.path = group, key, path
        self.owner = owner
        """The optimizer, if it is known, which tells what it refuses."""
        self.value: Any = None
        """What the config said last."""

    def check(self, config: Any) -> None:
        """Raise ValueError if the group cannot follow ``config``."""
        if self.key not in self.group:
            names = [name for name in self.group if name != "params"]
            hint = did_you_mean(self.key, names) or f" It has {', '.join(names)}."
            raise ValueError(f"the group has no {self.key!r} to follow.{hint}")
        if self.key == "lr" and self.group.get("schedule") is not None:
            raise ValueError(
                "the group's own schedule sets its lr at each step, and the config "
                "would have no effect; bind the optimizer with a number, and put the "
                f"schedule into the config: {self.path}=step: 0.1@0 cos 0.0@1000"
            )
        value = value_in_state(config, self.path) if parts(self.path) else None
        if not self.is_alike(value):
            raise ValueError(
                f"{self.key}={self.path!r}: expected the path of a number in the "
                f"config, found {short_repr(value)}"
            )

    def is_alike(self, value: object) -> bool:
        """Return whether ``value`` is a number, or as many as the group has."""
        current = self.group[self.key]
        if isinstance(current, list | tuple) and isinstance(value, list | tuple):
            return len(value) == len(current) and all(map(_is_number, value))
        return _is_number(value)

    def update(self, config: Any, transaction: Transaction) -> bool:
        """Give the group what ``config`` says, unless it said so the last time.

        Return whether it is new.
        """
        value = value_in_state(config, self.path)
        if value == self.value:
            return False
        transaction.undo_with(self._undo())
        self.value = value
        self.hold()
        return True

    def hold(self) -> None:
        """Give the group what the config said last, whoever set it since."""
        # Groups are saved by torch too: a number that knows its schedule is bare there.
        self._set(_bare(self.value))

    def check_range(self) -> None:
        """Raise ValueError for what an optimizer of one tensor refuses at its step."""
        template = self.group.get("optimizer")
        if isinstance(template, TensorOptimizer) and dataclasses.is_dataclass(template):
            names = hyperparameters(template)
            values = {n: self.group[n] for n in names if n in self.group}
            dataclasses.replace(template, **values)

    def _set(self, value: Any) -> None:
        current = self.group[self.key]
        if isinstance(current, torch.Tensor):
            # Compiled and captured steps read the tensor itself.
            current.fill_(value)
        else:
            self.group[self.key] = value

    def _undo(self) -> Undo:
        value, current = self.value, self.group[self.key]
        if isinstance(current, torch.Tensor):
            current = current.item()

        def undo() -> None:
            self.value = value
            self._set(current)

        return undo


def _update(bonds: "Sequence[Bond]", config: Any, transaction: Transaction) -> None:
    changed = [bond for bond in bonds if bond.update(config, transaction)]
    for bond in bonds if changed else ():
        bond.check_range()


def check_as_torch(bonds: "Iterable[Bond]") -> None:
    """Raise ConfigError for what an optimizer of torch refuses when it is made.

    ``bonds`` are those whose values are new, of any optimizers.
    """
    for bond in bonds:
        cls = type(bond.owner)
        if f"{cls.__module__}.".startswith("torch.optim."):
            try:
                _make_like(cls, bond.group)
            except ValueError as error:
                problem = Problem(bond.path, f"{cls.__name__} refuses it: {error}")
                raise ConfigError("", [problem]) from error


def _make_like(cls: Any, group: Group) -> None:
    names = signature(cls).parameters.keys() - _ENGINE_CHOICES
    values = {
        name: value.item() if isinstance(value, torch.Tensor) else value
        for name, value in group.items()
        if name in names
    }
    # Of two dimensions, since Muon takes no other parameter.
    cls([torch.zeros(1, 1, requires_grad=True)], **values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bare(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_bare, value))
    return int(value) if isinstance(value, int) else float(value)


def _groups(optim: Any) -> list[Group]:
    """Return all groups of an optimizer, or the one group that is given."""
    if isinstance(optim, dict):
        return [optim]
    groups = getattr(optim, "param_groups", None)
    if groups is None:
        raise TypeError(
            "expected an optimizer, or one of its param_groups, got "
            f"{short_repr(optim)}"
        )
    return list(groups)
