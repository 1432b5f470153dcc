"""What may be asked of a blueprint: the kinds of edits that its log holds."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

from torch import nn

from ....config.path import is_pattern, join

Target: TypeAlias = str | tuple[str, ...]
"""A path, a pattern, or the paths of a selection."""

Moment: TypeAlias = Literal["stateful", "after_init", "before_build", "after_build"]
"""When a call that is on the tape runs."""

TapKind: TypeAlias = Literal["log_input", "log_output", "input_map", "output_map"]

END = 2**31
"""The index behind the last item of any list."""


class Unbuilt(ABC):
    """A module that is not yet built: a `Blueprint`, as seen from below it.

    Its methods have private names, since every other name may be that of a part.
    """

    @abstractmethod
    def new(self) -> Self:
        """Return a blueprint of the same that changes by itself."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the blueprint as JSON-ready data."""

    @abstractmethod
    def _definition(self) -> "Definition": ...

    @abstractmethod
    def _build_inside(self) -> nn.Module: ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Entry:
    """One change, and whom it concerns."""

    target: Target
    by: str = "user"
    """Who asked for it."""
    on_tape: bool = True
    """Whether it is replayed by itself, not by the call that made it."""

    def below(self, prefix: Target) -> Sequence[Self]:
        """Return the same for a blueprint that now stands at ``prefix``."""
        return [replace(self, target=t) for t in under(prefix, self.target)]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Setting(Entry):
    """Arguments, or another class, for what is constructed at ``target``."""

    cls: type[nn.Module] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    keep: bool = True
    """Whether another class gets those arguments of the old one that it has too."""

    def __str__(self) -> str:
        words = [self.cls.__qualname__] if self.cls else []
        words += [f"{name}={short(value)}" for name, value in self.arguments.items()]
        return ", ".join(words)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Call(Entry):
    """A call of a marked method, or of a style."""

    name: str
    function: Callable[..., Any]
    moment: Moment = "stateful"
    is_style: bool = False
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        words = [short(value) for value in self.args]
        words += [f"{name}={short(value)}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join(words)})"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Edit(Entry):
    """A change of a list or dict of modules, once its owner has filled it."""

    kind: Literal["insert", "remove"]
    key: int | str
    """Where: an index, or the name in a dict."""
    item: Unbuilt | None = None
    """What goes in."""
    has_moved: bool = False
    """Whether what was named by path follows the items already."""

    def below(self, prefix: Target) -> Sequence[Self]:
        """Return the same for a blueprint that now stands at ``prefix``."""
        # Its own tape was moved when it was asked for, and would be moved twice.
        moved = replace(self, has_moved=True)
        return [replace(moved, target=t) for t in under(prefix, self.target)]

    def __str__(self) -> str:
        what = "append" if self.key == END else f"{self.kind} {self.key!r}"
        return what if self.item is None else f"{what}: {short(self.item)}"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tap(Entry):
    """A forward hook on the built module: a log, or a map of inputs and outputs."""

    kind: TapKind
    keys: tuple[str, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        named = [f"{name}={value!r}" for name, value in self.named.items()]
        return f"{self.kind}({', '.join([*map(repr, self.keys), *named])})"


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """All that makes a blueprint: a class, its arguments, and the edits since."""

    cls: type[nn.Module]
    arguments: Mapping[str, Any]
    entries: Sequence[Entry]


def definition_of(blueprint: Unbuilt) -> Definition:
    """Return what ``blueprint`` was told so far."""
    return blueprint._definition()  # pyright: ignore[reportPrivateUsage]  # any public name may be that of a part


def build_inside(blueprint: Unbuilt) -> nn.Module:
    """Return a module, as a part of what is being constructed around it."""
    return blueprint._build_inside()  # pyright: ignore[reportPrivateUsage]  # as above


def name_in_dict(edit: Edit, names: Sequence[str]) -> str | None:
    """Return the name that ``edit`` means in a dict of modules, None if it has none.

    A number is the name that is written so; -1 is the last one that there is.
    """
    key = edit.key
    if isinstance(key, str) or str(key) in names:
        return str(key)
    is_last = key == -1 and edit.kind == "remove" and len(names) > 0
    return names[-1] if is_last else None


def short(value: Any) -> str:
    """Return ``value`` on one short line; classes by their name."""
    if isinstance(value, type):
        return value.__qualname__
    text = repr(value).partition("\n")[0]
    return text if len(text) <= 60 else text[:57] + "..."


def under(prefix: Target, target: Target) -> list[Target]:
    """Return what ``target`` is as seen from where ``prefix`` is seen."""
    prefixes, targets = _each(prefix), _each(target)
    joined = [join(p, t) for p in prefixes for t in targets]
    if len(joined) == 1 or any(map(is_pattern, joined)):
        return list(joined)
    return [tuple(joined)]


def replaced(entries: Sequence[Entry], old: Mapping[int, Entry | None]) -> list[Entry]:
    """Return ``entries`` with those of ``old`` (by identity) exchanged or left out."""
    swapped = (old.get(id(entry), entry) for entry in entries)
    return [entry for entry in swapped if entry is not None]


def _each(target: Target) -> tuple[str, ...]:
    return (target,) if isinstance(target, str) else target
