"""Whether stored hyperparameters are those of a class, wherever it stands by now."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...records.errors import RecordError
from .registry import MODULE, NAME, REGISTERED, class_named, names_of
from .signature import parameters_of


def is_same_class(stored: Mapping[str, Any], cls: type[nn.Module]) -> bool:
    """Return whether ``stored`` is of ``cls``, wherever that stands by now."""
    ours = names_of(cls)
    if stored.get(REGISTERED) is not None and REGISTERED in ours:
        return bool(stored[REGISTERED] == ours[REGISTERED])
    if stored.get(NAME) != ours[NAME]:
        return _named(stored) is cls
    if stored.get(MODULE) == ours[MODULE]:
        return True
    # Known in its old place it is another class; unknown there, it has moved.
    return _named(stored) in (None, cls)


def takes_the_same(stored: Mapping[str, Any], cls: type[nn.Module]) -> bool:
    """Return whether a relative of ``cls`` is stored that has the same arguments."""
    named = _named(stored)
    if named is None or not is_related(stored, cls):
        return False
    return list(parameters_of(named)) == list(parameters_of(cls))


def is_related(stored: Mapping[str, Any], cls: type[nn.Module]) -> bool:
    """Return whether ``stored`` is of a known parent or subclass of ``cls``."""
    named = _named(stored)
    return named is not None and (issubclass(cls, named) or issubclass(named, cls))


def is_of_a_parent(stored: Mapping[str, Any], cls: type[nn.Module]) -> bool:
    """Return whether ``stored`` is of a known class that ``cls`` derives from."""
    named = _named(stored)
    return named is not None and issubclass(cls, named)


def _named(stored: Mapping[str, Any]) -> type[nn.Module] | None:
    try:
        return class_named(stored)
    except RecordError:
        return None
