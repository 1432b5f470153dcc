"""The arguments of a run's optimizers that follow its config during the run."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Trainer

from ...config.errors import ConfigError, Problem
from ...config.path import child
from ...config.process.transaction import Transaction
from ..hyperstate.bound_optimizers import Bond, Group, check_as_made, group_at
from .fit_config import KWARGS

_ABSENT = object()

_OF_CYCLES = ("momentum", "betas")
"""The arguments besides the rate that some of torch's cyclic schedulers set."""


class OptimizerArguments:
    """Which groups have which argument from the config, and follow it.

    A group follows if its value is the config's when optimizers are created; one with a
    value of its own keeps that. Create this before groups are restored, and call
    `follow` afterwards.
    """

    def __init__(self, trainer: Trainer, kwargs: Mapping[str, Any]) -> None:
        self.held: set[str] = set()
        """Arguments that an edit took from the schedulers, which still set them."""
        self._trainer = trainer
        self._places = [
            (i, j, key)
            for i, optimizer in enumerate(trainer.optimizers)
            for j, group in enumerate(optimizer.param_groups)
            for key, value in kwargs.items()
            if _has(group, key, value)
        ]
        self._bonds: list[Bond] = []
        self._problems: dict[str, str] = {}
        self._taken_away: set[str] = set()

    def follow(self, kwargs: Mapping[str, Any]) -> None:
        """Let groups follow from now on; ``kwargs`` is what they have."""
        for i, j, key in self._places:
            optimizer = self._trainer.optimizers[i]
            bond = Bond(partial(group_at, optimizer, j), key, child("", key), optimizer)
            try:
                bond.check(kwargs)
            except ValueError as error:
                self._problems[key] = str(error)
            else:
                bond.value = kwargs[key]
                self._bonds.append(bond)

    def take(
        self,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        transaction: Transaction,
    ) -> None:
        """Set the values on groups in which ``after`` differs.

        Raises ConfigError for what a running optimizer cannot change, or refuses.
        """
        held_before, self._taken_away = {*self.held}, set()
        transaction.undo_with(lambda: setattr(self, "held", held_before))
        changed: list[Bond] = []
        for key in dict.fromkeys((*before, *after)):
            if before.get(key, _ABSENT) != after.get(key, _ABSENT):
                changed += self._change(key, after, transaction)
        self._check_as_made(changed)

    def renew(self, keys: set[str]) -> None:
        """Set the groups' ``keys`` to the config's values, over the restored ones."""
        for bond in self._bonds:
            if bond.key in keys:
                bond.hold()

    def hold(self) -> None:
        """Set again on groups what schedulers have changed, and an edit holds."""
        if self.held:
            self.renew(self.held)

    def note(self, keys: set[str]) -> str:
        """Return the effect of the last edit on schedulers; empty if there is none."""
        if keys & self._taken_away:
            return "the number replaces the scheduler"
        return ""

    def is_scheduled(self, key: str) -> bool:
        """Return whether a scheduler sets ``key``, and no edit has taken it away."""
        driven = [
            group
            for config in self._trainer.lr_scheduler_configs
            for group in _groups_of(config.scheduler)
        ]
        if key in self.held:
            return False
        if key in _OF_CYCLES:
            return any("max_momentum" in group for group in driven)
        return key == "lr" and bool(driven)

    @staticmethod
    def _check_as_made(changed: list[Bond]) -> None:
        try:
            check_as_made(changed)
        except ConfigError as error:
            [problem] = error.problems
            raise _refusal(problem.path, problem.message) from error

    def _change(
        self, key: str, after: Mapping[str, Any], transaction: Transaction
    ) -> list[Bond]:
        bonds = [bond for bond in self._bonds if bond.key == key]
        if not bonds or key not in after:
            why = self._problems.get(key) or (
                "no param group of the optimizer has it as a number from the "
                "config, so it cannot change during the run"
            )
            raise _refusal(key, why)
        for bond in bonds:
            if problem := bond.mismatch(after[key]):
                raise _refusal(key, problem)
            bond.update(after, transaction)
        try:
            for bond in bonds:
                bond.check_range()
        except ValueError as error:
            raise _refusal(key, str(error)) from error
        if self.is_scheduled(key):
            self._taken_away.add(key)
            self.held.add(key)
        return bonds


def _refusal(key: str, message: str) -> ConfigError:
    return ConfigError("", [Problem(child(KWARGS, key), message)])


def _has(group: Group, key: str, value: object) -> bool:
    """Return whether a group was made with ``value``; a scheduler may have begun."""
    at_first = group.get(f"initial_{key}", _ABSENT)
    return any(_bare(value) == _bare(v) for v in (group.get(key, _ABSENT), at_first))


def _bare(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else None
    return tuple(value) if isinstance(value, list) else value


def _groups_of(scheduler: Any) -> list[Group]:
    optimizer = getattr(scheduler, "optimizer", None)
    return list(getattr(optimizer, "param_groups", ()))
