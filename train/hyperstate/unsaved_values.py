"""Values of a state that no checkpoint has, so that a resumed run would lack them."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field
from typing import Any, cast

from torch import nn

from ...config.classes.fields import (
    is_struct_value,
    stored_fields,
    undeclared_attributes,
)
from ...config.classes.remade_fields import remade_fields_in
from ...config.encode import data_text
from ...config.process.interrupts import raise_of_signal
from ...config.process.user_warning import warn_user
from ...config.short_text import first_names
from .field_marks import Lazy
from .state_text import is_blob


@dataclass(slots=True)
class UnsavedValues:
    """Warns, once per kind, about values that the saves of a run omit."""

    _remade: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """The texts of fields that constructors fill, by path."""
    _is_told_of_attributes: bool = False
    _is_told_of_remade: bool = False

    @classmethod
    def of(cls, state: object) -> "UnsavedValues":
        """Return the texts of a run whose ``state`` was just begun or restored."""
        return cls({path: _text(value) for path, value, _ in _remade_in(state)})

    def warn(self, state: object) -> None:
        """Warn about what the save of ``state`` omits."""
        names = unsaved_attributes(state)
        if names and not self._is_told_of_attributes:
            self._is_told_of_attributes = True
            warn_user(
                f"the state has {first_names(names, 4)}, but "
                f"{type(state).__qualname__} declares no such field, so "
                "checkpoints will not have it. Declare it, or start its name "
                "with _ if it need not be saved",
                RuntimeWarning,
            )
        paths = [] if self._is_told_of_remade else self._changed(state)
        if paths:
            self._is_told_of_remade = True
            warn_user(
                f"the state's {first_names(paths, 4)} is not an argument of the "
                "constructor (init=False), so checkpoints will not have it, and "
                "a resumed run starts with the value that the constructor sets. "
                "Remove init=False, or start the name with _ if it need not be "
                "saved",
                RuntimeWarning,
            )

    def _changed(self, state: object) -> list[str]:
        """Return the paths of fields that a constructor would fill otherwise."""
        changed: list[str] = []
        stored_ids: set[int] | None = None
        for path, value, default in _remade_in(state):
            objects = [*objects_in(value)]
            if objects:
                stored_ids = _stored_ids(state) if stored_ids is None else stored_ids
                is_lost = not all(_is_stored(item, stored_ids) for item in objects)
            else:
                remade = default or self._remade.get(path)
                is_lost = remade is not None and _text(value) != remade
            if is_lost:
                changed.append(path)
        return changed


def unsaved_attributes(state: Any) -> list[str]:
    """Return the attributes of a state that are neither fields nor private.

    Values that a class caches for itself (a cached property) do not belong to a run.
    """
    cls = type(state)
    declared = {part.attribute for part in stored_fields(cls)}
    return undeclared_attributes(
        state, declared.union(getattr(cls, "__dataclass_fields__", ()))
    )


def _remade_in(state: object) -> Iterator[tuple[str, object, str | None]]:
    """Yield the fields that constructors fill: path, value, text of the default."""
    for place in remade_fields_in(state, read=_field_value):
        value = _field_value(place.struct, place.field.name)
        if value is not MISSING:
            yield place.path, value, _default_text(type(place.struct), place.field)


def _field_value(value: object, attribute: str) -> object:
    """Return a struct's value; MISSING if it was not read yet."""
    if isinstance(value, Lazy):
        return vars(value).get(attribute, MISSING)
    return getattr(value, attribute, MISSING)


_EMPTY = (list, dict, set)


def _default_text(cls: type, remade: Field[Any]) -> str | None:
    """Return the default that a constructor leaves as it is, None if unknown.

    Factories other than those of empty containers may draw numbers that a run misses.
    """
    if hasattr(cls, "__post_init__"):
        return None
    factory: Any = remade.default_factory
    if factory in _EMPTY:
        return _text(factory())
    return None if remade.default is MISSING else _text(remade.default)


def _text(value: object) -> str | None:
    try:
        return data_text(value)
    except Exception as error:  # user code
        raise_of_signal(error)
        return None


def objects_in(value: object) -> Iterator[object]:
    """Yield the objects with a state of their own in a value."""
    if is_blob(value):
        yield value
    elif isinstance(value, Mapping):
        for item in cast("Mapping[object, object]", value).values():
            yield from objects_in(item)
    elif isinstance(value, list | tuple | set | deque):
        for item in cast("list[object]", value):
            yield from objects_in(item)
    elif is_struct_value(value):
        for part in stored_fields(type(value)):
            yield from objects_in(_field_value(value, part.attribute))


def _is_stored(item: object, stored_ids: set[int]) -> bool:
    """Return whether records hold ``item``: of a module, all that may change.

    A wrapper of a stored module (compiled, for several devices) has its tensors, and a
    loss has none.
    """
    if id(item) in stored_ids:
        return True
    if not isinstance(item, nn.Module):
        return False
    tensors = (*item.parameters(), *item.buffers())
    usual = nn.Module.get_extra_state
    has_more = any(type(m).get_extra_state is not usual for m in item.modules())
    return not has_more and all(id(tensor) in stored_ids for tensor in tensors)


def _stored_ids(value: object) -> set[int]:
    """Return the ids of objects below ``value`` that its records hold, even in part."""
    stored_ids: set[int] = set()
    for item in objects_in(value):
        stored_ids.add(id(item))
        if isinstance(item, nn.Module):
            stored_ids.update(map(id, item.modules()))
            stored_ids.update(map(id, item.parameters()))
            stored_ids.update(map(id, item.buffers()))
    return stored_ids
