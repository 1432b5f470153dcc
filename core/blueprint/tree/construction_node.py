"""A construction that was watched: what was made, of what, in what, and where it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from ..edits.edits import Entry


@dataclass(slots=True, eq=False)
class Made:
    """One construction, with those that ran while its constructor did."""

    asked: type[nn.Module]
    """The class that was called."""
    kids: "list[Made]" = field(default_factory=list["Made"])
    paths: tuple[str, ...] = ()
    """Where it ended, first name first; nowhere if it was thrown away."""
    ranks: tuple[tuple[int, ...], ...] = ()
    """The position of each of ``paths`` among all, in the order of the module."""
    is_copied: bool = False
    """Whether several modules at ``paths`` are copies of the one that was made."""
    plan: "tuple[Entry, ...]" = ()
    """What is to be changed when it is made."""
    below: "tuple[Entry, ...]" = ()
    """What blueprints used inside a constructor changed already."""
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    """What its maker passed, by name."""
    cls: type[nn.Module] = nn.Module
    """What was made instead, or ``asked``."""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it was made of in the end, by name."""
    missing: tuple[str, ...] = ()
    """Sizes that only an example can tell."""

    @property
    def path(self) -> str:
        """Where it ended first."""
        return self.paths[0] if self.paths else ""

    @property
    def rank(self) -> tuple[int, ...]:
        """The position of ``path``."""
        return self.ranks[0] if self.ranks else ()

    def walk(self) -> "Iterator[Made]":
        """Yield this and all that was made inside, in the order of construction."""
        yield self
        for kid in self.kids:
            yield from kid.walk()

    def copy(self) -> "Made":
        """Return the same, to be changed without changing this."""
        made = self.alone()
        made.kids = [kid.copy() for kid in self.kids]
        return made

    def alone(self) -> "Made":
        """Return the same without what was made inside."""
        return Made(
            asked=self.asked,
            paths=self.paths,
            ranks=self.ranks,
            is_copied=self.is_copied,
            plan=self.plan,
            below=self.below,
            given=self.given,
            cls=self.cls,
            arguments=self.arguments,
            missing=self.missing,
        )


def difference(expected: Made, found: Made) -> tuple[str, str] | None:
    """Return where two trees differ and how, None if they are alike."""
    if expected.asked is not found.asked or expected.paths != found.paths:
        told = f"{_at(expected)} was made the first time, {_at(found)} the second time"
        return expected.path or found.path, told
    for old, new in zip(expected.kids, found.kids, strict=False):
        inside = difference(old, new)
        if inside is not None:
            return inside
    n_old, n_new = len(expected.kids), len(found.kids)
    if n_old == n_new:
        return None
    odd = (expected if n_old > n_new else found).kids[min(n_old, n_new)]
    when = "only the first time" if n_old > n_new else "only the second time"
    return odd.path or found.path, f"{_at(odd)} was made {when}"


@dataclass(frozen=True, slots=True)
class Passed:
    """Stands for an argument that cannot be given again: a module, a tensor."""

    text: str

    def __repr__(self) -> str:
        return self.text


def described(value: Any) -> Any:
    """Return ``value`` with `Passed` for what is used up or alive."""
    if value is None or isinstance(value, int | float | str | type):
        return value
    if isinstance(value, nn.Module):
        return Passed(f"<{type(value).__qualname__}>")
    if isinstance(value, torch.Tensor):
        return Passed(f"<tensor of {tuple(value.shape)}>")
    if isinstance(value, Iterator):
        return Passed(f"<{type(value).__name__}>")
    if type(value) is dict:
        return {key: described(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(described, value))
    return value


def is_repeatable(value: Any) -> bool:
    """Return whether ``value`` can be passed once more."""
    if isinstance(value, Passed):
        return False
    if isinstance(value, Mapping):
        return all(map(is_repeatable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_repeatable, value))
    return True


def _at(made: Made) -> str:
    where = f" at {made.path}" if made.paths else ", which is in no field,"
    return f"{made.asked.__qualname__}{where}"
