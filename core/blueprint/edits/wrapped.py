"""A part in another one that is put around it: its place, and what is put there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...modules.registry import register_class
from .edits import Unbuilt, definition_of


@register_class
class Wrapped(nn.Module):
    """Stands for the part that is wrapped, in the blueprint that goes around it."""


@dataclass(frozen=True, slots=True, eq=False)
class WrappedCall:
    """The call that constructs a part, inside of what was put around it."""

    cls: type[nn.Module]
    arguments: Mapping[str, Any]
    edited_names: frozenset[str]
    """The arguments that edits set, and not the maker."""

    def __repr__(self) -> str:
        return f"{self.cls.__qualname__}(...)"


def is_place(value: object) -> bool:
    """Return whether ``value`` is the place of a wrapped part."""
    return isinstance(value, Unbuilt) and definition_of(value).cls is Wrapped


def holds_place(value: object) -> bool:
    """Return whether the place is ``value``, or an item of it."""
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
