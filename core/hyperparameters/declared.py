"""The declarations of a module class: types of its arguments, and its ``Hparams``."""

import enum
import inspect
import pathlib
import typing
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from ...config.classes.annotations import known_hints, unresolved
from ...config.classes.declared_types import item_type, members
from ...config.classes.declared_types import literals as literal_values
from ...config.classes.field_types import is_field_type
from ...config.classes.fields import (
    computed_of,
    fields_of,
    is_model,
    is_struct,
    is_struct_value,
    types_within,
)
from ...config.classes.keyed_types import item_types, typed_keys
from ...config.versioned import Versioned
from ..modules.classes import by_class
from ..modules.registry import Node
from ..modules.signature import parameters_of, variadic_of

Hint: TypeAlias = Any
"""The declared type of an argument; annotations have no class in common."""


@by_class
def argument_hints(cls: type[nn.Module]) -> Mapping[str, Hint]:
    """Return the declared type of each argument of ``cls``, Any if there is none.

    A default that is not plain data counts as a declaration.
    """
    declared = known_hints(cls.__init__, include_extras=True)
    hints = {
        name: declared.get(name, _hint_of_default(parameter.default))
        for name, parameter in parameters_of(cls).items()
    }
    keywords = variadic_of(cls).get(inspect.Parameter.VAR_KEYWORD)
    if keywords is not None and hints[keywords] is Any:
        hints[keywords] = _hint_of_keywords(cls)
    return hints


def declared_type(cls: type[nn.Module]) -> type | None:
    """Return the ``Hparams`` that ``cls`` or a parent defines, None if none does."""
    attribute = inspect.getattr_static(cls, "Hparams", None)
    return attribute if isinstance(attribute, type) else None


def computed_fields(cls: type[nn.Module], node: Node) -> dict[str, Any]:
    """Return the fields that the class's own ``Hparams`` computes from ``node``."""
    declared: Any = declared_type(cls)
    if declared is None or not computed_of(declared):
        return {}
    # Importing pydantic is slow, and few classes declare computed fields.
    from pydantic import TypeAdapter, ValidationError

    from ...config.encode import encode, to_plain

    values = {name: node[name] for name in fields_of(declared) if name in node}
    try:
        hparams = TypeAdapter(declared).validate_python(values)
    except ValidationError:
        return {}
    names = computed_of(declared)
    return {name: to_plain(encode(getattr(hparams, name))) for name in names}


def is_constrained(hint: Hint) -> bool:
    """Return whether ``hint`` restricts values: ``Annotated[int, Hparam(ge=1)]``."""
    checks = {"pydantic", "annotated_types"}
    origin: object = typing.get_origin(hint)
    is_annotated = origin is typing.Annotated
    for constraint in hint.__metadata__ if is_annotated else ():
        if type(constraint).__module__.partition(".")[0] in checks:
            return True
    return any(map(is_constrained, typing.get_args(hint)))


def item_hint(hint: Hint, key: object) -> Hint:
    """Return the type of the item at ``key`` of a list or dict of type ``hint``."""
    if unresolved(hint) is not None:
        return hint  # the type of its items is unknown
    if isinstance(key, str):
        for keyed in filter(None, map(typed_keys, members(hint))):
            return keyed.get(key, Any)
    for member in members(hint):
        item = item_type(member, key)
        if item is not Any:
            return item
    return Any


def has_one_item_hint(hint: Hint) -> bool:
    """Return whether `item_hint` is the same for every index, or for every key."""
    return not any(
        item_types(member) is not None
        or typed_keys(member) is not None
        or (
            typing.get_origin(member) is tuple
            and typing.get_args(member)[-1:] != (Ellipsis,)
        )
        for member in members(hint)
    )


def needs_class(hint: Hint) -> bool:
    """Return whether a value of ``hint`` needs more than plain data."""
    kinds = (enum.Enum, pathlib.PurePath, set, frozenset)
    # A typed dict is checked item by item, by its content.
    for member in types_within(hint, is_entered=lambda _: False, by_name=False):
        origin = typing.get_origin(member) or member
        if (
            is_struct(origin)
            or is_field_type(origin)
            or (isinstance(origin, type) and issubclass(origin, kinds))
            or any(isinstance(value, enum.Enum) for value in literal_values(member))
        ):
            return True
    return False


def names_value(hint: Hint, value: object) -> bool:
    """Return whether ``hint`` names exactly the class of ``value``, or the value."""
    kinds = members(hint)
    literals = [v for m in kinds for v in literal_values(m)]
    return type(value) in kinds or any(
        type(v) is type(value) and v == value for v in literals
    )


def may_be_members(hint: Hint) -> bool:
    """Return whether values of ``hint`` may be members of an enum."""
    kinds = members(hint)
    literals = (type(v) for m in kinds for v in literal_values(m))
    classes = (kind for kind in (*kinds, *literals) if isinstance(kind, type))
    return any(issubclass(cls, enum.Enum) for cls in classes)


def list_of(hint: Hint) -> Hint:
    """Return the type of a list of values of ``hint``."""
    return list[hint]


def dict_of(hint: Hint) -> Hint:
    """Return the type of a dict of values of ``hint``.

    ``Unpack`` of a ``TypedDict`` declares the values of ``**kwargs`` together.
    """
    origin: Any = typing.get_origin(hint)
    if origin is typing.Unpack:
        return typing.get_args(hint)[0]
    return dict[str, hint]


def allows_kinds(hint: Hint, *kinds: type) -> bool:
    """Return whether ``hint`` declares values of any of ``kinds``."""
    return any((typing.get_origin(m) or m) in kinds for m in members(hint))


def is_plain_struct(cls: Any) -> bool:
    """Return whether ``cls`` is a dataclass with nothing but its fields."""
    is_dataclass = isinstance(cls, type) and is_struct(cls) and not is_model(cls)
    return is_dataclass and not issubclass(cls, Versioned)


def declares(hint: Hint, value: object) -> bool:
    """Return whether ``hint`` names the class of ``value``."""
    kinds = (member for member in members(hint) if member is not Any)
    return any(isinstance(kind, type) and isinstance(value, kind) for kind in kinds)


def _hint_of_keywords(cls: type[nn.Module]) -> Hint:
    """Return the types of ``**kwargs`` of ``cls`` if they are passed to its parents.

    Only types that need more than plain data have to be known.
    """
    hints: dict[str, Hint] = {}
    for parent in reversed(cls.__mro__[1:]):
        if not issubclass(parent, nn.Module) or parent is nn.Module:
            continue
        declared, variadic = argument_hints(parent), variadic_of(parent)
        keywords = declared.get(variadic.get(inspect.Parameter.VAR_KEYWORD, ""), Any)
        hints |= typed_keys(dict_of(keywords)) or {}
        hints |= {n: h for n, h in declared.items() if n not in variadic.values()}
    telling = {
        name: hint
        for name, hint in hints.items()
        if needs_class(hint) or unresolved(hint) is not None
    }
    if not telling:
        return Any
    # Type checkers need a literal for a TypedDict, but these keys are found at run
    # time.
    make_type: Any = typing.TypedDict
    return typing.Unpack[make_type("Keywords", telling, total=False)]


def _hint_of_default(default: object) -> Hint:
    kinds = (enum.Enum, torch.dtype, torch.device, tuple, pathlib.PurePath)
    tells = isinstance(default, kinds) or (
        default is not inspect.Parameter.empty and is_struct_value(default)
    )
    return type(default) if tells else Any
