"""GroupOptions: the hyperparameters of an optimizer, as keys of a param group."""

import dataclasses
from typing import Any

from ..checks import check_types
from ..tensor_optimizer import TensorOptimizer, hyperparameters

_RESERVED = frozenset(
    ["params", "lr", "kind", "maximize", "optimizer", "schedule", "clip", "is_training"]
)
_PAIRS = (("b1", "b2"), ("beta1", "beta2"), ("beta_1", "beta_2"))


class GroupOptions:
    """Rebuilds the optimizer when a schedule or the user writes to the group.

    Torch's cyclic schedules look for ``betas``; an optimizer that has two separate
    ones gets that key too, and a change of either is taken over.
    """

    def __init__(self, template: TensorOptimizer[Any]) -> None:
        self.template = template
        check_types(template)
        initial = hyperparameters(template)
        clashes = _RESERVED & initial.keys()
        if clashes:
            raise TypeError(
                f"{type(template).__qualname__} has a hyperparameter {min(clashes)!r}, "
                "and param groups use that name; rename it"
            )
        self.names = tuple(initial)
        self.pair = next(
            (p for p in _PAIRS if initial.keys() >= set(p) and "betas" not in initial),
            None,
        )
        self._current = template
        self._values = [initial[name] for name in self.names]
        self._betas = tuple(initial[name] for name in self.pair or ())

    def values(self) -> dict[str, Any]:
        """Return what the group holds at first."""
        values = hyperparameters(self.template)
        return {**values, "betas": self._betas} if self.pair else values

    def current(self, group: dict[str, Any]) -> TensorOptimizer[Any]:
        """Return the optimizer with the hyperparameters that ``group`` holds now.

        Raises ValueError where one is out of range, as its constructor does.
        """
        if self.pair is not None:
            self._share_betas(group, self.pair)
        values = [group[name] for name in self.names]
        if _differ(values, self._values):
            changes = {
                name: tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType]  # items are any value
                for name, value in zip(self.names, values, strict=True)
            }
            self._current = dataclasses.replace(self.template, **changes)  # type: ignore[type-var]  # names are fields, so it is a dataclass
            self._values = values
        return self._current

    def _share_betas(self, group: dict[str, Any], pair: tuple[str, str]) -> None:
        betas = tuple(group.get("betas", self._betas))
        if betas != self._betas:
            group[pair[0]], group[pair[1]] = betas
        self._betas = (group[pair[0]], group[pair[1]])
        group["betas"] = self._betas


def _differ(values: list[Any], before: list[Any]) -> bool:
    """Return whether a hyperparameter is another one; a tensor is if it may be."""
    try:
        return values != before
    except (RuntimeError, ValueError):  # tensors and arrays are equal item by item
        return any(a is not b for a, b in zip(values, before, strict=True))
