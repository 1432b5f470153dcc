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
        # A class may have former names beside the one that it writes.
        return _named({REGISTERED: stored[REGISTERED]}) is cls
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


def renamed_hint(stored: Mapping[str, Any], cls: type[nn.Module]) -> str:
    """Return how to say that ``cls`` was called otherwise, if nobody is called so."""
    name = stored.get(NAME)
    if _named(stored) is not None or not isinstance(name, str):
        return ""
    return (
        f" (if that is its former name: burnish.register_class({cls.__qualname__}, "
        f"name={name[:60]!r}))"
    )


def _named(stored: Mapping[str, Any]) -> type[nn.Module] | None:
    try:
        return class_named(stored)
    except RecordError:
        return None
