"""A part inside another one that is put around it, and its placeholder there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...modules.registry import register_class
from .edits import Unbuilt, definition_of


@register_class
class Wrapped(nn.Module):
    """Represents the wrapped part, in the blueprint that is put around it."""


@dataclass(frozen=True, slots=True, eq=False)
class WrappedCall:
    """The call that constructs a part, inside of its wrapper."""

    cls: type[nn.Module]
    arguments: Mapping[str, Any]
    edited_names: frozenset[str]
    """The arguments set by edits, rather than by the maker."""

    def __repr__(self) -> str:
        return f"{self.cls.__qualname__}(...)"


def is_place(value: object) -> bool:
    """Return whether ``value`` represents a wrapped part."""
    return isinstance(value, Unbuilt) and definition_of(value).cls is Wrapped


def holds_place(value: object) -> bool:
    """Return whether ``value``, or an item of it, represents the wrapped part."""
    if isinstance(value, list | tuple):
        return any(map(holds_place, value))
    if isinstance(value, Mapping):
        return any(map(holds_place, value.values()))
    return is_place(value)


def filled(value: Any, call: WrappedCall) -> Any:
    """Return ``value`` with ``call`` in the place of the wrapped part."""
    if type(value) in (list, tuple):
        return type(value)(filled(item, call) for item in value)
    if type(value) is dict:
        return {key: filled(item, call) for key, item in value.items()}
    return call if is_place(value) else value
