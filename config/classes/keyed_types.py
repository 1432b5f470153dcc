"""Types that declare their items by name: typed dicts and named tuples."""

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from .annotations import known_hints
from .remembered import remembered
from .type_parameters import parameter_values, with_parameters

_MARKS = ("Required", "NotRequired", "ReadOnly")


def typed_keys(annotation: object) -> Mapping[str, object] | None:
    """Return the types of items by name, None where they have no names."""
    cls: object = get_origin(annotation) or annotation
    if not (is_typed_dict(cls) or _is_named_tuple(cls)):
        return None
    hints = _hints_of(cls)
    values = parameter_values(annotation)
    if not values:
        return hints
    return {name: with_parameters(hint, values) for name, hint in hints.items()}


def item_types(annotation: object) -> tuple[object, ...] | None:
    """Return the types of the items of a ``NamedTuple``, None of anything else."""
    is_named = _is_named_tuple(get_origin(annotation) or annotation)
    keys = typed_keys(annotation) if is_named else None
    return None if keys is None else tuple(keys.values())


def is_typed_dict(cls: object) -> bool:
    """Return whether ``cls`` is a ``TypedDict``."""
    if not isinstance(cls, type) or not hasattr(cls, "__required_keys__"):
        return False
    return issubclass(cls, dict)


def optional_keys(cls: type) -> frozenset[str]:
    """Return the keys that a dict of ``cls``, a ``TypedDict``, may leave out."""
    hints = known_hints(cls, include_extras=True)
    # Of annotations that are texts, the class itself does not know their marks.
    marked = {name for name, hint in hints.items() if "NotRequired" in _marks_of(hint)}
    return frozenset[str](getattr(cls, "__optional_keys__", ())) | marked


def is_closed(cls: object) -> bool:
    """Return whether ``cls`` is a ``TypedDict`` that takes no keys but its own."""
    extra = getattr(cls, "__pydantic_config__", {}).get("extra")
    return is_typed_dict(cls) and extra not in ("allow", "ignore")


def _is_named_tuple(cls: object) -> bool:
    if not isinstance(cls, type) or not hasattr(cls, "_fields"):
        return False
    return issubclass(cls, tuple)


@remembered
def _hints_of(cls: Any) -> Mapping[str, object]:
    hints = known_hints(cls, include_extras=True)
    # collections.namedtuple has names alone.
    names = getattr(cls, "_fields", None) or tuple(hints)
    return {name: _unmarked(hints.get(name, Any)) for name in names}


def _unmarked(hint: object) -> object:
    """Return ``hint`` without what says of a key whether it has to be there."""
    for _ in _marks_of(hint):
        hint = get_args(hint)[0]
    return hint


def _marks_of(hint: object) -> list[str]:
    """Return what ``hint`` says of whether a key has to be there, outermost first."""
    mark = getattr(get_origin(hint), "_name", None)
    return [mark, *_marks_of(get_args(hint)[0])] if mark in _MARKS else []
