"""Optimizers whose groups follow the config: its schedules, and its live edits."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch

from ...config.errors import ConfigError, Problem
from ...config.path import parts
from ...config.process.transaction import Transaction, Undo, all_or_nothing
from ...config.process.user_warning import warn_user
from ...config.schedule.number import schedule_text
from ...config.short_text import quantity, short_repr
from ...config.spelling import did_you_mean
from ...config.tree import is_items
from ...optim.bound.param_groups import first_rate
from ...optim.lbfgs import LBFGSAdaptor
from ...optim.tensor_optimizer import TensorOptimizer, hyperparameters
from .lazy_fields import value_in_state

Group = dict[str, Any]

_ENGINE_CHOICES = {"params", "foreach", "fused", "capturable", "differentiable"}
"""Arguments of torch's optimizers that are about the parameters, not the step."""


class BoundOptimizers:
    """Which keys of which groups follow which field of the config."""

    def __init__(self) -> None:
        self._bonds: list[Bond] = []

    def bind(
        self,
        optim: Any,
        config: Any,
        paths: dict[str, str],
        known_optimizers: Sequence[Any] = (),
        stored_config: Any = None,
        transaction: Transaction | None = None,
    ) -> None:
        """Bind ``paths``, field by key, for all groups; set them from ``config``.

        ``transaction`` is that of an edit being made: its undo also unbinds.

        A group passed alone is found in one of ``known_optimizers``. ``stored_config``
        was in force when those were stored, if they were just restored; other numbers
        than its own cause a warning. Raises ValueError for a key that no group has, or
        a field that is not a number.
        """
        owner, groups = _place_of(optim, known_optimizers)
        bonds = [Bond(groups, key, path, owner) for key, path in paths.items()]
        for bond in bonds:
            bond.check(config)
        if stored_config is not None and any(o is owner for o in known_optimizers):
            _warn_of_other_numbers(bonds, stored_config, config)
        _warn_of_schedulers(bonds)
        if transaction is not None:
            for undo in [bond.undo() for bond in bonds]:
                transaction.undo_with(undo)
            transaction.undo_with(lambda: self._unbind(bonds))
        all_or_nothing(partial(_update, bonds, config))
        self._bonds.extend(bonds)

    @property
    def has_bonds(self) -> bool:
        """Whether anything was bound."""
        return bool(self._bonds)

    def _unbind(self, bonds: "Sequence[Bond]") -> None:
        self._bonds = [bond for bond in self._bonds if bond not in bonds]

    def warn_of_replaced(self, optimizers: Sequence[Any]) -> None:
        """Warn of optimizers that took the place of a bound one in the state."""
        unbound = [o for o in optimizers if not any(o is b.owner for b in self._bonds)]
        for bond in self._bonds:
            bond.was_in_state |= any(o is bond.owner for o in optimizers)
            is_replaced = not any(o is bond.owner for o in optimizers)
            if bond.was_in_state and is_replaced and unbound:
                bond.was_in_state = False  # one warning is enough
                warn_user(
                    f"{bond.key}: the optimizer that was bound to the config's "
                    f"{bond.path} is no longer in the state, and the one that is there "
                    f"does not follow it: bind that one too, by "
                    f"run.bind_optimizer(..., {bond.key}={bond.path!r})",
                    RuntimeWarning,
                )

    def update(self, config: Any) -> None:
        """Set the groups from ``config``.

        A group whose field did not change keeps its value, even if set by hand. If a
        group refuses its value, none is changed.
        """
        # Every step of a run calls this, so signals are not deferred meanwhile.
        transaction = Transaction()
        try:
            _update(self._bonds, config, transaction)
        except BaseException:
            transaction.undo()
            raise

    def edit(self, config: Any, transaction: Transaction) -> None:
        """Do as `update` for a ``config`` that the user edited.

        Raises ConfigError also for values that an optimizer's constructor would refuse,
        and that its step would accept silently.
        """
        before = [bond.value for bond in self._bonds]
        _update(self._bonds, config, transaction)
        changed = [
            bond
            for bond, value in zip(self._bonds, before, strict=True)
            if bond.value != value
        ]
        check_as_made(changed)
        _warn_of_schedulers(changed)


class Bond:
    """One key of an optimizer's groups, or of one of them.

    ``groups`` is called each time, since torch replaces the groups when it loads a
    state dict, and a group may be added or removed.
    """

    def __init__(
        self,
        groups: Callable[[], Sequence[Group]],
        key: str,
        path: str,
        owner: Any = None,
    ) -> None:
        self.groups, self.key, self.path = groups, key, path
        self.owner = owner
        """The optimizer, if it is known, which validates values."""
        self.value: Any = None
        """The last value of the config."""
        self.was_in_state = False
        """Whether the state had the optimizer, and has not been seen without it."""

    def check(self, config: Any) -> None:
        """Raise ValueError if a group cannot follow ``config``."""
        for group in self.groups():
            self._check_key(group)
        value = value_in_state(config, self.path) if parts(self.path) else None
        if problem := self.mismatch(value):
            raise ValueError(f"{self.key}={self.path!r}: in the config, {problem}")

    def mismatch(self, value: object) -> str:
        """Return why no group can follow ``value``; empty if all can."""
        for group in self.groups():
            current = group[self.key]
            n_numbers = len(current) if isinstance(current, list | tuple) else None
            if not _is_numeric(value, n_numbers):
                count = (
                    "a number" if n_numbers is None else quantity(n_numbers, "number")
                )
                return f"expected {count}, found {short_repr(value)}"
        return ""

    def update(self, config: Any, transaction: Transaction) -> bool:
        """Set the groups from ``config``, unless its value is the last one.

        Returns whether it is new. Raises ConfigError if the groups cannot have it.
        """
        value = value_in_state(config, self.path)
        if value == self.value:
            return False
        if problem := self.mismatch(value):
            raise ConfigError("", [Problem(self.path, problem)])
        transaction.undo_with(self.undo())
        self.value = value
        self.hold()
        return True

    def hold(self) -> None:
        """Set the groups to the config's last value, even if changed since."""
        # Torch saves groups too: a number with a schedule is stored there without it.
        for group in self.groups():
            self._set(group, _bare(self.value))

    def check_range(self) -> None:
        """Raise ValueError for a value that a `SimpleOptimizer` refuses at its step."""
        for group in self.groups():
            template = group.get("optimizer")
            if isinstance(template, TensorOptimizer) and dataclasses.is_dataclass(
                template
            ):
                names = hyperparameters(template)
                dataclasses.replace(
                    template, **{name: group[name] for name in names if name in group}
                )

    def _check_key(self, group: Group) -> None:
        if self.key not in group:
            names = [name for name in group if name != "params"]
            hint = did_you_mean(self.key, names) or f" It has {', '.join(names)}."
            raise ValueError(f"the group has no {self.key!r} to follow.{hint}")
        if self.key == "lr" and group.get("schedule") is not None:
            raise ValueError(
                "the group's own schedule sets its lr at each step, so the "
                "config would have no effect; bind the optimizer with a number "
                f"as lr, and put the schedule into the config: {self.path}=step: "
                "0.1@0 cos 0.0@1000"
            )

    def _set(self, group: Group, value: Any) -> None:
        current = group[self.key]
        if isinstance(current, torch.Tensor):
            # Compiled and captured steps read the tensor itself.
            current.fill_(value)
        else:
            group[self.key] = value

    def undo(self) -> Undo:
        """Return what restores the groups and the last value."""
        value = self.value
        earlier = [(group, _python_value(group[self.key])) for group in self.groups()]

        def undo() -> None:
            self.value = value
            for group, number in earlier:
                self._set(group, number)

        return undo


def _update(bonds: "Sequence[Bond]", config: Any, transaction: Transaction) -> None:
    changed = [bond for bond in bonds if bond.update(config, transaction)]
    for bond in bonds if changed else ():
        bond.check_range()


def check_as_made(bonds: Iterable[Bond]) -> None:
    """Raise ConfigError for values that optimizers' constructors refuse.

    ``bonds`` are those whose values are new, of any optimizers.
    """
    for bond in bonds:
        for group in bond.groups():
            try:
                _check_group(bond, group)
            except ValueError as error:
                name = group.get("kind", type(bond.owner).__name__)
                problem = Problem(bond.path, f"{name} refuses it: {error}")
                raise ConfigError("", [problem]) from error


def _check_group(bond: Bond, group: Group) -> None:
    """Raise ValueError for values that the constructor of this optimizer refuses."""
    is_ours = isinstance(group.get("optimizer"), TensorOptimizer)
    if is_ours and bond.key == "lr":
        first_rate(group["lr"])
    is_lbfgs = isinstance(bond.owner, LBFGSAdaptor)
    cls: Any = torch.optim.LBFGS if is_lbfgs else type(bond.owner)
    if f"{cls.__module__}.".startswith("torch.optim."):
        names = signature(cls).parameters.keys() - _ENGINE_CHOICES
        values = {
            name: _python_value(value) for name, value in group.items() if name in names
        }
        # Two dimensions, since Muon accepts no other parameter.
        cls([torch.zeros(1, 1, requires_grad=True)], **values)


def _is_numeric(value: object, n_numbers: int | None) -> bool:
    """Return whether ``value`` is a number, or a sequence of ``n_numbers``."""
    if n_numbers is None:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if not is_items(value) or len(value) != n_numbers:
        return False
    return all(_is_numeric(item, None) for item in value)


def _bare(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_bare, value))
    return int(value) if isinstance(value, int) else float(value)


def _python_value(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value


def group_at(optim: Any, index: int) -> list[Group]:
    """Return a list with ``optim``'s group at this index; empty if it is gone."""
    return list(optim.param_groups[index : index + 1])


def _place_of(
    optim: Any, known_optimizers: Iterable[Any]
) -> tuple[Any, Callable[[], list[Group]]]:
    """Return the optimizer, None if unknown, and a function that returns the groups."""
    if isinstance(optim, dict):
        for owner in known_optimizers:
            for index, group in enumerate(owner.param_groups):
                if group is optim:
                    return owner, partial(group_at, owner, index)
        return None, lambda: [optim]
    if getattr(optim, "param_groups", None) is None:
        raise TypeError(
            "expected an optimizer, or one of its param_groups, got "
            f"{short_repr(optim)}"
        )
    return optim, lambda: optim.param_groups


def _warn_of_schedulers(bonds: Iterable[Bond]) -> None:
    """Warn about a rate that has just been set, and that a scheduler sets again."""
    for bond in bonds:
        # Torch's schedulers set this key; one that reacts to a loss does not, and
        # reduces whatever rate it finds.
        if bond.key == "lr" and any("initial_lr" in group for group in bond.groups()):
            warn_user(
                f"{bond.path}: the optimizer's lr is also set by a scheduler of torch "
                "(a group has 'initial_lr'), whose next step replaces or rescales what "
                "the config gives; use only one of the two: a schedule in the config "
                f"({bond.path}=step: 0.1@0 cos 0.0@1000), or the scheduler without "
                "binding lr",
                RuntimeWarning,
            )


def _warn_of_other_numbers(
    bonds: Iterable[Bond], stored_config: Any, config: Any
) -> None:
    """Warn about restored numbers that differ from an unchanged field.

    The run that stored them would have kept them until the field changes.
    """
    for bond in bonds:
        before, now = (value_in_state(c, bond.path) for c in (stored_config, config))
        # The next step of a schedule replaces a number set by hand.
        if before != now or schedule_text(before) is not None:
            continue
        for group in bond.groups():
            stored_number = _python_value(group[bond.key])
            bond_number = _as_stored(group[bond.key], _bare(now))
            if stored_number != bond_number:
                warn_user(
                    f"{bond.key}: the checkpoint stores {stored_number}, which "
                    f"the config did not set; bind_optimizer sets {bond_number}, "
                    f"the config's {bond.path}, so that the run does not resume "
                    "as it was. To keep the stored value, resume with the "
                    f"override {bond.path}={stored_number}",
                    RuntimeWarning,
                )


def _as_stored(current: Any, number: Any) -> Any:
    """Return ``number`` in the form that a group with ``current`` would hold."""
    if isinstance(current, torch.Tensor):
        return torch.full_like(current, number).item()
    return [*number] if isinstance(current, list) else number
