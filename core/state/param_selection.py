# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""The parameters of a module that patterns pick."""

from torch import nn

from ...config.patterns import Patterns, as_patterns, matches
from ...config.short_text import first_names, short_repr
from ...config.spelling import did_you_mean
from ...records.entries.entry import Param
from ..modules.module_argument import check_module
from ..modules.tree import Places, places_of
from .identity import identify


def select_params(module: nn.Module, patterns: Patterns, verb: str) -> list[Param]:
    """Return the parameters that match at any of their paths, each once.

    A predicate gets a `Param`, and may pick none; ValueError where nothing has a name
    that ``patterns`` give.
    """
    check_module(module, verb)
    places = places_of(module)
    params = _at_every_path(places)
    selected: dict[int, Param] = {}
    for param in params:
        if matches(patterns, param.path, param):
            selected.setdefault(id(param.tensor), param)
    if not selected and not any(map(callable, as_patterns(patterns))):
        raise ValueError(_no_match(verb, patterns, params, places))
    return list(selected.values())


def _at_every_path(places: Places) -> list[Param]:
    """Return every parameter; a shared one at each of its paths, with the one ID."""
    ids = identify(places)
    return [
        Param(prefix + name, ids[id(parameter)], parameter)
        for prefix, owner in places
        for name, parameter in owner._parameters.items()
        if parameter is not None
    ]


def _no_match(
    verb: str, patterns: Patterns, params: list[Param], places: Places
) -> str:
    paths = [param.path for param in params]
    if isinstance(patterns, str) and f"{patterns}." in {prefix for prefix, _ in places}:
        hint = f" {patterns} is a module: {verb}(net, '{patterns}.**')."
    else:
        hint = did_you_mean(patterns, paths) if isinstance(patterns, str) else ""
    return (
        f"{verb}: {short_repr(patterns)} matches no parameter; there are "
        f"{first_names(paths, 8) or 'none'}.{hint}"
    )
