"""The kinds of edits in the log of a blueprint.

An edit names its target by path or pattern, and is compared by identity: two with equal
content are two edits, since their order in the log matters.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

from torch import nn

from ....config.path import join
from ....config.patterns import is_pattern

Target: TypeAlias = str | tuple[str, ...]
"""A path, a pattern, or the paths of a selection."""

Moment: TypeAlias = Literal["stateful", "after_init", "before_build", "after_build"]
"""When a call in the log runs."""

HookKind: TypeAlias = Literal["log_input", "log_output", "input_map", "output_map"]
"""The effect of a forward hook on inputs or outputs."""

END = 2**31
"""An index after the last item of any list."""


class Unbuilt(ABC):
    """A module that is not built yet: the base of `Blueprint` for the code below it.

    Its methods have private names, since any other name may be that of a part.
    """

    @abstractmethod
    def new(self) -> Self:
        """Return an independent copy of the blueprint."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the blueprint as JSON-ready data."""

    @abstractmethod
    def _definition(self) -> "Definition": ...

    @abstractmethod
    def _build_inside(self) -> nn.Module: ...

    @abstractmethod
    def _build_child(self, runs: object) -> nn.Module: ...


# Edits compare by identity: two equal ones in a log are two, and are replaced and moved
# one by one.
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Edit:
    """One change, and the parts that it applies to."""

    target: Target
    by: str = "user"
    """Its author: the user, a call, or the example."""
    is_logged: bool = True
    """Whether copies replay the edit itself; else its call makes it again."""
    has_moved_paths: bool = False
    """Whether the paths of other edits follow it already."""

    @property
    def moves_paths(self) -> bool:
        """Whether it moves parts, so that other edits have to follow them."""
        return False

    def moved_under(self, prefix: Target) -> Sequence[Self]:
        """Return the edit for a blueprint that is now at ``prefix``."""
        # It moved the paths of its own log when it was made; they would move twice.
        return [
            replace(self, target=t, has_moved_paths=True)
            for t in under(prefix, self.target)
        ]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SetArguments(Edit):
    """Arguments, or another class, for the constructions at ``target``."""

    cls: type[nn.Module] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    keeps_arguments: bool = True
    """Whether a new class gets those arguments of the old one that it accepts too."""
    wraps_at: str = ""
    """The path inside of it at which the old part continues, if it does."""

    @property
    def is_replacement(self) -> bool:
        """Whether nothing of the old part is kept."""
        is_new = self.cls is not None and not self.keeps_arguments
        return is_new and not self.wraps_at

    @property
    def moves_paths(self) -> bool:
        """Whether it moves parts, so that other edits have to follow them."""
        return bool(self.wraps_at) and not self.has_moved_paths

    def __str__(self) -> str:
        words = [self.cls.__qualname__] if self.cls else []
        if self.wraps_at:
            return f"wrapped in {words[0]}"
        words += [f"{name}={short(value)}" for name, value in self.arguments.items()]
        return ", ".join(words)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CallMethod(Edit):
    """A call of a marked method, or of a style."""

    name: str
    function: Callable[..., Any]
    moment: Moment = "stateful"
    is_style: bool = False
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_at_once(self) -> bool:
        """Whether it runs at its position in the log, on the part at its path then."""
        return self.moment == "stateful"

    def __str__(self) -> str:
        words = [short(value) for value in self.args]
        words += [f"{name}={short(value)}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join(words)})"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChangeItems(Edit):
    """A change of a list or dict of modules, once its maker has filled it."""

    kind: Literal["insert", "remove"]
    key: int | str
    """An index, or the name in a dict."""
    item: Unbuilt | None = None
    """The blueprint of the added item."""
    name: str = ""
    """The name of the added item, if it is not numbered."""

    @property
    def moves_paths(self) -> bool:
        """Whether it moves parts, so that other edits have to follow them."""
        return not self.has_moved_paths

    def __str__(self) -> str:
        action = "append" if self.key == END else f"{self.kind} {self.key!r}"
        action += f" as {self.name!r}" if self.name else ""
        return action if self.item is None else f"{action}: {short(self.item)}"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AddHook(Edit):
    """A forward hook on the built module: a log, or a map of inputs and outputs."""

    kind: HookKind
    keys: tuple[str, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        keyword_words = [f"{name}={value!r}" for name, value in self.named.items()]
        return f"{self.kind}({', '.join([*map(repr, self.keys), *keyword_words])})"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Initialize(Edit):
    """Values for parameters of given names, in the built module and its descendants."""

    function: Callable[..., Any]
    tensors: tuple[str, ...] = ("weight",)
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_checked: bool = False
    """Whether it matched parameters when it was made, by each of its names."""

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", short(self.function))
        return f"initialize({name}, tensors={self.tensors})"


def check_initializer(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Raise TypeError unless ``function`` accepts a tensor and these arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function in C has none
        return
    try:
        signature.bind(None, *args, **kwargs)
    except TypeError as error:
        name = getattr(function, "__name__", short(function))
        raise TypeError(
            f"initialize: {name}{signature} does not take these arguments: {error}. "
            "Pass names of parameters as tensors=('weight', 'bias'), and select parts "
            f"first: bp.isinstance(nn.Linear).initialize({name})"
        ) from None


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """The content of a blueprint: a class, its arguments, and the edits since."""

    cls: type[nn.Module]
    arguments: Mapping[str, Any]
    edits: Sequence[Edit]


def definition_of(blueprint: Unbuilt) -> Definition:
    """Return the class, the arguments and the edits of ``blueprint``."""
    return blueprint._definition()  # pyright: ignore[reportPrivateUsage]  # any public name may be that of a part


def build_inside(blueprint: Unbuilt) -> nn.Module:
    """Return a module, as a part of what is being constructed around it."""
    return blueprint._build_inside()  # pyright: ignore[reportPrivateUsage]  # as above


def build_child(blueprint: Unbuilt, runs: object) -> nn.Module:
    """Return the module that becomes a child where ``blueprint`` was assigned.

    It is built in place if a constructor of ``runs`` created it.
    """
    return blueprint._build_child(runs)  # pyright: ignore[reportPrivateUsage]  # as above


def name_in_dict(change: ChangeItems, names: Sequence[str]) -> str | None:
    """Return the name that ``change`` refers to in a dict of modules, or None.

    A number is the name that is written so; -1 removes the last item.
    """
    key = change.name or change.key
    if isinstance(key, str) or str(key) in names:
        return str(key)
    is_last = key == -1 and change.kind == "remove" and len(names) > 0
    return names[-1] if is_last else None


def short(value: object) -> str:
    """Return ``value`` on one short line; classes by their name."""
    if isinstance(value, type):
        return value.__qualname__
    text = repr(value).partition("\n")[0]
    return text if len(text) <= 60 else text[:57] + "..."


def under(prefix: Target, target: Target) -> list[Target]:
    """Return ``target`` relative to the root that ``prefix`` is relative to."""
    prefixes, targets = _each(prefix), _each(target)
    joined = [join(p, t) for p in prefixes for t in targets]
    if len(joined) == 1 or any(map(is_pattern, joined)):
        return list(joined)
    return [tuple(joined)]


def with_replacements(
    edits: Sequence[Edit], replacements: Mapping[int, Edit | None]
) -> list[Edit]:
    """Return ``edits`` with replacements by identity; None removes an edit."""
    if not replacements:
        return [*edits]
    replaced_edits = (replacements.get(id(edit), edit) for edit in edits)
    return [edit for edit in replaced_edits if edit is not None]


def _each(target: Target) -> tuple[str, ...]:
    return (target,) if isinstance(target, str) else target
