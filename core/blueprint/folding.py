"""What settings make of a construction: class, arguments, and whose each one is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...config.path import did_you_mean
from ..hyperparameters.signature import parameters_of
from .arguments import Arguments, fitting, merged, names_of, takes
from .entry import Entry, Setting
from .errors import SettingError
from .made import Made
from .types_of_values import check_type


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
