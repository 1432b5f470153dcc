"""ExtendedState: an author's state, with what lets a narrow weight learn.

A weight in half precision loses changes below half its last digit. A master weight
keeps them: the step moves the master, and the weight is its rounding. Random rounding
keeps them on average, and needs to know how often it was done.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch

from .operations import round_stand_in, where_stand_in
from .recording import another_state
from .stand_in import StandIn
from .stochastic_rounding import rounded

MASTER = "master"
"""The field of the master weight, of the parameter's shape."""

ROUNDING_STEP = "rounding_step"
"""The field that counts how often a weight was rounded stochastically."""

ROUNDING_KEY = "rounding_key"
"""The field of the key of its random bits."""


class ExtendedState:
    """The fields that an author's state declares, then those kept for the weight.

    Each state type has a subclass of its own; an author sees only the author's type.
    """

    author: ClassVar[type | None]
    """The author's state type; None if there is no state."""
    kept: ClassVar[frozenset[str]]
    """The names of the fields that are kept beside the author's."""
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


@dataclass
class _Kept:
    """The values kept beside an author's fields."""

    master: torch.Tensor
    rounding_step: int
    rounding_key: int


KEPT = frozenset(_Kept.__dataclass_fields__)
"""The names of the fields kept beside an author's."""


def _type_with(author: type | None, names: tuple[str, ...]) -> type[ExtendedState]:
    fields: dict[str, Field[Any]] = dict(getattr(author, "__dataclass_fields__", {}))
    name = type(None).__name__ if author is None else author.__qualname__
    for extra in names:
        if extra in fields:
            raise TypeError(
                f"{name} has a field {extra!r}, a name that is reserved for the "
                "data that half-precision weights need; rename the field"
            )
        fields[extra] = _Kept.__dataclass_fields__[extra]
    namespace: dict[str, Any] = {"author": author, "kept": frozenset(names)}
    namespace["__dataclass_fields__"] = fields
    # Errors about the result of a step name the type that its author knows.
    return type(name, (ExtendedState,), namespace)


_extended_type: Callable[[type | None, tuple[str, ...]], type[ExtendedState]]
_extended_type = lru_cache(maxsize=4096)(_type_with)


def author_type(state_type: Any) -> Any:
    """Return the author's type of an extended one, or the type itself."""
    return state_type.author if is_extended(state_type) else state_type


def is_extended(state_type: Any) -> bool:
    """Return whether states of a type have more than their author's fields."""
    return bool(kept_names(state_type))


def kept_names(state_type: Any) -> frozenset[str]:
    """Return the names of the fields of a state type beside its author's."""
    if isinstance(state_type, type) and issubclass(state_type, ExtendedState):
        return state_type.kept
    return _NOTHING


_NOTHING = frozenset[str]()


def rounds(state_type: Any) -> bool:
    """Return whether weights with such states are rounded stochastically."""
    return ROUNDING_STEP in kept_names(state_type)


def extended(state: Any, **kept: Any) -> ExtendedState:
    """Return ``state``, an author's or None, extended by ``kept``."""
    author = None if state is None else type(state)
    return _filled(_extended_type(author, tuple(kept)), _fields_of(state) | kept)


def opened(weight: Any, state: Any) -> tuple[Any, Any]:
    """Return the tensor that a step moves, and the state as its author declared it.

    The tensor is the master; if the weight is no longer its rounding, since it was
    changed, the weight itself. A state without a master moves the weight.
    """
    if not isinstance(state, ExtendedState):
        return weight, state
    author = _author_state(state)
    master = vars(state).get(MASTER) if MASTER in state.kept else None
    if master is None:
        return weight, author
    is_rounding = master.to(weight.dtype) == weight
    widened = weight.to(master.dtype)
    # This runs at every step: torch would look up the stand-in's own function first.
    if type(master) is StandIn:
        return where_stand_in(is_rounding, master, widened), author
    return torch.where(is_rounding, master, widened), author


def closed(tensor: Any, state: Any, weight: Any, stored_state: Any) -> tuple[Any, Any]:
    """Return the weight and the state to store, from the results of `opened`'s step."""
    if not isinstance(stored_state, ExtendedState):
        return tensor.to(weight.dtype), state
    state_class = stored_state.author or type(None)
    if type(state) is not state_class:
        raise another_state(state, state_class)
    fields = dict(_fields_of(state))
    weight = close_fields(fields, tensor, weight, stored_state.kept, vars(stored_state))
    return weight, _filled(type(stored_state), fields)


def close_fields(
    fields: dict[str, Any],
    tensor: Any,
    weight: Any,
    names: Collection[str],
    stored_fields: Mapping[str, Any],
) -> Any:
    """Return the weight to store, and add to ``fields`` what is kept beside them.

    ``names`` are the names of these, and ``stored_fields`` has their old values.
    """
    if MASTER in names:
        master = fields[MASTER] = tensor.to(stored_fields[MASTER].dtype)
        return master.to(weight.dtype)
    turn = stored_fields[ROUNDING_STEP]
    fields[ROUNDING_STEP] = turn + 1
    if ROUNDING_KEY in stored_fields:
        fields[ROUNDING_KEY] = stored_fields[ROUNDING_KEY]
    return _rounded(tensor, weight.dtype, stored_fields)


def _rounded(tensor: Any, dtype: torch.dtype, stored_fields: Mapping[str, Any]) -> Any:
    """Return the result of a step, rounded stochastically."""
    exact = tensor.to(torch.float32)
    if type(exact) is StandIn:
        # The code that runs a recording has the keys of the parameters.
        return round_stand_in(exact, dtype)
    return rounded(
        exact, dtype, stored_fields.get(ROUNDING_KEY, 0), stored_fields[ROUNDING_STEP]
    )


def n_renewed(weight: torch.Tensor, master: torch.Tensor) -> torch.Tensor:
    """Return how many elements of ``weight`` differ from their rounded master.

    An element that is NaN because its master is NaN does not count.
    """
    rounding = master.to(weight.dtype)
    return ((rounding != weight) & (rounding == rounding)).sum()


def _author_state(state: ExtendedState) -> Any:
    if state.author is None:
        return None
    author_state: Any = object.__new__(state.author)
    fields = author_state.__dict__
    fields.update(state.__dict__)
    for name in state.kept:
        fields.pop(name, None)
    return author_state


def _fields_of(state: Any) -> dict[str, Any]:
    return {} if state is None else vars(state)


def _filled(state_type: type[ExtendedState], fields: dict[str, Any]) -> ExtendedState:
    state = object.__new__(state_type)
    vars(state).update(fields)
    return state
