"""What is used of pydantic that it does not promise: one function a name.

A test says on which versions each name was there. Nothing here loads pydantic.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as ModelMetaclass

_STATE = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__")
"""Where a model instance keeps its values, and what pydantic records about them."""

_VALIDATORS = ("field_validators", "model_validators", "validators", "root_validators")


def metaclass_of_models() -> "type[ModelMetaclass]":
    """Return the metaclass of models, to derive another one from it."""
    from pydantic import BaseModel

    return type(BaseModel)


def validator_of_model(cls: Any) -> Any:
    """Return the validator of the model ``cls``, faster than its own methods."""
    return cls.__pydantic_validator__


def is_complete(cls: Any) -> bool:
    """Return whether all names in the annotations of a model are resolved."""
    complete: bool = cls.__pydantic_complete__
    return complete


def extra_values(value: object) -> Mapping[str, object]:
    """Return the extra values of an instance, for which its class has no fields."""
    return getattr(value, "__pydantic_extra__", None) or {}


@contextmanager
def unchanged_if_it_raises(model: object) -> Generator[None]:
    """Restore ``model`` if the block raises.

    Validators of the whole model see an assigned value in its place. When they refuse
    it, pydantic leaves it there, with whatever else they changed.
    """
    parts: dict[str, Any] = {name: getattr(model, name, None) for name in _STATE}
    copies = {name: None if p is None else p.copy() for name, p in parts.items()}
    try:
        yield
    except BaseException:
        for name, part in copies.items():
            object.__setattr__(model, name, part)
        raise


def has_validators(cls: object) -> bool:
    """Return whether ``cls`` has validators of its own, of any kind."""
    decorators = getattr(cls, "__pydantic_decorators__", None)
    return any(getattr(decorators, kind, None) for kind in _VALIDATORS)


def keep_fast_construction(init: Callable[..., None]) -> None:
    """Let pydantic create nested models without calling ``init`` in Python.

    It takes any ``__init__`` but its own for one that does more than validate.
    """
    init.__pydantic_base_init__ = True  # type: ignore[attr-defined]
