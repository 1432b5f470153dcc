# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""The parameters of a module that patterns select."""

from torch import nn

from ...config.patterns import Patterns, matches
from ...config.short_text import first_names, short_repr
from ...config.spelling import did_you_mean
from ...records.entries.entry import Param
from ...records.entries.select import unmatched
from ..modules.module_argument import check_module
from ..modules.tree import Places, places_of
from .identity import identify


def select_params(module: nn.Module, patterns: Patterns, verb: str) -> list[Param]:
    """Return the parameters that match at any of their paths, each once.

    A predicate is called with a `Param`, and may select none; ValueError for a path or
    a pattern, even one of several, that matches nothing.
    """
    check_module(module, verb)
    places = places_of(module)
    params = _at_every_path(places)
    selected: dict[int, Param] = {}
    for param in params:
        if matches(patterns, param.path, param):
            selected.setdefault(id(param.tensor), param)
    paths = [param.path for param in params]
    # Among several patterns a misspelled one would go unnoticed.
    for pattern, _ in unmatched(patterns, paths):
        raise ValueError(_no_match(verb, pattern, params, places))
    return list(selected.values())


def _at_every_path(places: Places) -> list[Param]:
    """Return every parameter; a shared one at each of its paths, with one ID."""
    ids = identify(places)
    return [
        Param(prefix + name, ids[id(parameter)], parameter)
        for prefix, owner in places
        for name, parameter in owner._parameters.items()
        if parameter is not None
    ]


def _no_match(verb: str, pattern: str, params: list[Param], places: Places) -> str:
    paths = [param.path for param in params]
    # One star matches one name, and paths below a module have more.
    name = pattern.removesuffix(".*")
    if f"{name}." in {prefix for prefix, _ in places}:
        hint = f" {name} is a module: {verb}(net, '{name}.**')."
    else:
        hint = did_you_mean(pattern, paths)
    return (
        f"{verb}: {short_repr(pattern)} matches no parameter; there are "
        f"{first_names(paths, 8) or 'none'}.{hint}"
    )
