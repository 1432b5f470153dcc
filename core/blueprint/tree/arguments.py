"""Arguments of constructors by name: bound, edited, checked, fitted to a class."""

import inspect
import numbers
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, TypeAlias

from torch import nn

from ....config.fields import members
from ....config.path import did_you_mean, join
from ...hyperparameters.plain import hints_of
from ...modules.classes import by_class
from ...modules.signature import VARIADIC, parameters_of
from ..edits.edits import Entry, Setting
from ..errors import SettingError, WrongTypeError
from .construction_node import Made

Arguments: TypeAlias = dict[str, Any]
"""By name; those of ``*args`` are one tuple, those of ``**kwargs`` one dict."""

_SAME_SIZE = ("num_features", "num_channels", "normalized_shape")
"""What the norms of torch call the number of channels."""


def bind(
    cls: type[nn.Module], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Arguments:
    """Return what was passed by name, without defaults; some may be missing."""
    if not args and not kwargs:
        return {}
    return dict(_signature(cls).bind_partial(*args, **kwargs).arguments)


def names_of(cls: type[nn.Module]) -> list[str]:
    """Return the arguments of ``cls`` that have a name."""
    return [n for n, p in parameters_of(cls).items() if p.kind not in VARIADIC]


def takes(cls: type[nn.Module], name: str) -> bool:
    """Return whether ``cls`` takes an argument called ``name``."""
    parameter = parameters_of(cls).get(name)
    if parameter is not None and parameter.kind not in VARIADIC:
        return True
    return rest_of(cls) is not None


def rest_of(cls: type[nn.Module]) -> str | None:
    """Return what ``cls`` calls its ``**kwargs``, None if it has none."""
    kinds = ((n, p.kind) for n, p in parameters_of(cls).items())
    return next((n for n, kind in kinds if kind is Parameter.VAR_KEYWORD), None)


def merged(
    cls: type[nn.Module], arguments: Mapping[str, Any], more: Mapping[str, Any]
) -> Arguments:
    """Return ``arguments`` with ``more``, unknown names among ``**kwargs``."""
    found = dict(arguments)
    parameters, rest = parameters_of(cls), rest_of(cls)
    for name, value in more.items():
        known = (
            name in parameters and parameters[name].kind is not Parameter.VAR_KEYWORD
        )
        if known or rest is None or name == rest:
            found[name] = value
        else:
            found[rest] = {**found.get(rest, {}), name: value}
    return found


def fitting(
    arguments: Mapping[str, Any], old: type[nn.Module], new: type[nn.Module]
) -> Arguments:
    """Return those of ``arguments`` of ``old`` that ``new`` has too."""
    theirs, ours = parameters_of(old), parameters_of(new)
    found: Arguments = {}
    for name, value in arguments.items():
        kind = theirs[name].kind if name in theirs else Parameter.KEYWORD_ONLY
        if kind in VARIADIC:
            same = [n for n, p in ours.items() if p.kind is kind]
            found |= dict.fromkeys(same, value)
        elif name in ours and ours[name].kind not in VARIADIC:
            found[name] = value
        elif name in _SAME_SIZE:
            found |= {n: value for n in _SAME_SIZE if n in ours and n not in arguments}
    return found


def missing(cls: type[nn.Module], arguments: Iterable[str]) -> list[str]:
    """Return the arguments without a default that are not among ``arguments``."""
    given = set(arguments)
    return [
        name
        for name, parameter in parameters_of(cls).items()
        if parameter.default is Parameter.empty
        and parameter.kind not in VARIADIC
        and name not in given
    ]


def check_configurable(cls: type[nn.Module]) -> None:
    """Raise TypeError for a constructor whose arguments cannot be told by name."""
    kinds = {p.kind for p in parameters_of(cls).values()}
    if {Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL} <= kinds:
        raise TypeError(
            f"{cls.__qualname__} takes arguments by position only next to *args: they "
            "cannot be set by name. Remove the '/' from its constructor."
        )


@by_class
def _signature(cls: type[nn.Module]) -> inspect.Signature:
    parameters = sorted(parameters_of(cls).values(), key=lambda p: p.kind)
    by_default = [_without_default(p) for p in parameters]
    return inspect.Signature(by_default)


def _without_default(parameter: Parameter) -> Parameter:
    # Parameters of torch's recurrent layers are put together from two signatures,
    # where one with a default may stand before one without.
    return parameter.replace(default=Parameter.empty)


@dataclass(frozen=True, slots=True)
class Folded:
    """A construction as it is to be."""

    cls: type[nn.Module]
    arguments: Arguments
    """By name, what the maker passed and the settings changed."""
    sources: Mapping[str, Setting]
    """The setting of each argument that has one."""


def fold(
    asked: type[nn.Module], given: Mapping[str, Any], entries: Iterable[Entry]
) -> Folded:
    """Return ``asked`` of ``given`` after the settings among ``entries``, in order."""
    cls, arguments = asked, dict(given)
    sources: dict[str, Setting] = {}
    for entry in entries:
        if not isinstance(entry, Setting):
            continue
        if entry.cls is not None:
            if not entry.keep:
                arguments, sources = {}, {}
            elif entry.cls is not cls:
                arguments = fitting(arguments, cls, entry.cls)
                sources = {n: s for n, s in sources.items() if n in arguments}
            cls = entry.cls
        arguments = merged(cls, arguments, entry.arguments)
        sources |= dict.fromkeys(entry.arguments, entry)
    return Folded(cls, arguments, sources)


def fold_made(made: Made, plan: Iterable[Entry]) -> Folded:
    """Return what ``plan`` makes of a construction that was watched."""
    return fold(made.asked, made.given, (*made.below, *plan))


def check(folded: Folded, path: str, setting: Setting) -> None:
    """Raise `SettingError` for names or values that the class does not take."""
    for name, value in setting.arguments.items():
        check_name(folded.cls, name, path)
        check_type(folded.cls, name, value, path)


def check_name(cls: type[nn.Module], name: str, path: str) -> None:
    """Raise `SettingError` if ``cls`` takes no argument ``name``."""
    if takes(cls, name) or name in parameters_of(cls):
        return
    names = names_of(cls)
    takes_what = ", ".join(names) or "nothing"
    raise SettingError(
        path,
        f"{cls.__qualname__} takes no argument {name!r}."
        f"{did_you_mean(name, names)} It takes: {takes_what}.",
    )


_FITS: dict[Any, tuple[type, ...]] = {
    int: (numbers.Integral,),
    float: (numbers.Real,),
    bool: (bool,),
    str: (str,),
    type(None): (type(None),),
}
_PLAIN = (bool, int, float, str, list, tuple, dict)


def check_type(cls: type[nn.Module], name: str, value: Any, path: str) -> None:
    """Raise `WrongTypeError` for a plain value that the annotation rules out.

    None is left to the constructor, since sizes may be left out; so is all that is
    declared as more than numbers, texts and None.
    """
    declared = members(hints_of(cls).get(name, Any))
    if type(value) not in _PLAIN or not all(kind in _FITS for kind in declared):
        return
    if any(isinstance(value, _FITS[kind]) for kind in declared):
        return
    expected = " or ".join(_name(kind) for kind in declared)
    raise WrongTypeError(
        join(path, name),
        f"{cls.__qualname__} expects {expected}, "
        f"found {value!r:.60}, a {type(value).__name__}.",
    )


def _name(kind: Any) -> str:
    return "None" if kind is type(None) else str(typing.cast(type, kind).__name__)
