"""What a call of ``configure`` asks for, as entries of the tape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from ...config.path import did_you_mean
from ...config.shown import shown
from .edits.edits import Entry, Setting, Target, Unbuilt, definition_of
from .errors import SettingError
from .parts import Parts
from .tree.arguments import check_configurable, names_of, rest_of, takes
from .tree.construction_node import Made
from .tree.module_values import class_and_arguments, stands_for_module


def entries_of(
    selection: Parts,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    keep: Callable[[Any], Any],
) -> list[Entry]:
    """Return the entries for ``selection.configure(*args, **kwargs)``.

    ``keep`` makes values independent of what the caller does with them later.
    """
    for where, value in enumerate(args[:-1]):
        if isinstance(value, type) and issubclass(value, nn.Module):
            name = value.__qualname__
            raise TypeError(
                f"the arguments of {name} go by name, as in configure('head', {name}, "
                f"bias=False), or with a blueprint: replace('head', "
                f"Blueprint({name}, ...)); got {shown(args[where + 1])}"
            )
    if kwargs:
        is_swap = bool(args) and stands_for_module(args[-1])
        if is_swap:
            part = _part(selection, args[:-1])
            return swap(part.target, args[-1], kwargs)
        return _named(_part(selection, args), kwargs, keep)
    if len(args) == 1 and stands_for_module(args[0]):
        return swap(selection.target, args[0], {})
    if len(args) == 1 and isinstance(args[0], Mapping):
        pairs = args[0].items()
        return [
            e
            for key, value in pairs
            for e in entries_of(selection, [key, value], {}, keep)
        ]
    if len(args) < 2:
        raise TypeError(
            "configure what? configure(width=8), configure('width', 8), "
            "configure('layers.*', bias=False) or configure('**.act', nn.GELU)"
        )
    return _valued(selection, args[:-1], args[-1], keep)


def swap(
    target: Target, value: Any, arguments: Mapping[str, Any], *, keep: bool = True
) -> list[Entry]:
    """Return the entries that put ``value`` in the place of what is at ``target``."""
    if isinstance(value, Unbuilt):
        definition = definition_of(value.new())
        cls, given = definition.cls, dict(definition.arguments)
        inner = [e for entry in definition.entries for e in entry.below(target)]
        keep = False
    else:
        cls, given = class_and_arguments(value)
        inner = []
        keep = keep and not isinstance(value, nn.Module)
    check_configurable(cls)
    first = Setting(target=target, cls=cls, arguments=given, keep=keep)
    more = [Setting(target=target, arguments=arguments)] if arguments else []
    if not inner:
        merged = {**given, **arguments}
        return [Setting(target=target, cls=cls, arguments=merged, keep=keep)]
    return [first, *inner, *more]


def _part(selection: Parts, parts: Sequence[Any]) -> Parts:
    return selection.select(tuple(parts)) if parts else selection


def _valued(
    selection: Parts, parts: Sequence[Any], value: Any, keep: Callable[[Any], Any]
) -> list[Entry]:
    """Return the entries for a path or a name, and one value."""
    last = parts[-1]
    whole = _part(selection, parts)
    is_module = stands_for_module(value)
    if not isinstance(last, str):
        return swap(whole.target, value, {})
    head, _, name = last.rpartition(".")
    owner = _part(selection, [*parts[:-1], head] if head else parts[:-1])
    owners = owner.nodes()
    names = bool(owners) and all(name in names_of(made.cls) for made in owners)
    is_name = len(parts) == 1 and not head
    is_argument = names and is_name and _holds_modules(owners, name)
    if is_module and not is_argument and whole.nodes():
        return swap(whole.target, value, {})
    if names or (owners and all(takes(made.cls, name) for made in owners)):
        return [Setting(target=owner.target, arguments={name: keep(value)})]
    if whole.nodes():
        raise SettingError(
            last, f"expected a module class or a blueprint, found {value!r:.80}."
        )
    if is_module:
        # A pattern may mean parts that come later; if not, that will be said.
        return swap(whole.target, value, {})
    if not owners:
        raise selection.draft.nothing_at(whole.target)
    raise _unknown(owners[0], name, owner)


def _named(
    selection: Parts, kwargs: Mapping[str, Any], keep: Callable[[Any], Any]
) -> list[Entry]:
    """Return the entries for values by name: of arguments, or of children."""
    made = selection.nodes()
    arguments: dict[str, Any] = {}
    swaps: list[Entry] = []
    for name, value in kwargs.items():
        is_argument = all(name in names_of(m.cls) for m in made)
        if (
            not is_argument
            and stands_for_module(value)
            and selection.select(name).nodes()
        ):
            swaps += swap(selection.select(name).target, value, {})
            continue
        unfit = next((m for m in made if not takes(m.cls, name)), None)
        if unfit is not None and name != rest_of(unfit.cls):
            raise _unknown(unfit, name, selection)
        arguments[name] = keep(value)
    own = [Setting(target=selection.target, arguments=arguments)] if arguments else []
    return [*own, *swaps]


def _holds_modules(owners: Sequence[Made], name: str) -> bool:
    """Return whether the argument ``name`` is one for modules or their classes."""
    values = [made.arguments.get(name) for made in owners]
    return all(v is None or callable(v) or stands_for_module(v) for v in values)


def _unknown(made: Made, name: str, selection: Parts) -> SettingError:
    names, children = names_of(made.cls), selection.child_names(made.path)
    there = ", ".join(names) or "nothing"
    parts = f" Its parts are: {', '.join(children[:12])}." if children else ""
    return SettingError(
        made.path,
        f"{made.cls.__qualname__} takes no argument {name!r}."
        f"{did_you_mean(name, [*names, *children])} It takes: {there}.{parts}",
    )
