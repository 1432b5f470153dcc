"""A value written as text, parsed by the type of its field."""

import enum
from typing import Any, Union

from ..classes.declared_types import allows_none, is_sequence, literals, members
from ..classes.fields import field_types_in, is_mapping, is_struct
from ..errors import ConfigError, ConfigSyntaxError, Problem
from ..ron import read
from ..schedule.schedule import looks_scheduled
from ..short_text import short_repr
from ..tree import BeyondFloatError, Ident, is_dict
from .own_types import OwnTypeText

_BOOLS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "T", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "F", "0"), False),
}
NONES = ("None", "null")
"""Words for None."""
_NUMBERS: tuple[object, ...] = (int, float, bool)


def from_text(annotation: object, text: str, path: str) -> object:
    """Return the tree that ``text`` denotes in a field of type ``annotation``.

    A ``str`` field takes the text unchanged. Otherwise it is parsed as RON, and if that
    fails, or the field cannot hold the result, the text itself is tried. Raises
    ConfigError naming ``path``.
    """
    if field_types_in(annotation):
        return _own_type_text(annotation, text, path)
    kinds = [m for m in members(annotation) if m is not type(None)]
    # A string is taken unchanged, so that it need not be quoted for both RON and a
    # shell.
    if kinds == [str] and not allows_none(annotation):
        return text
    bare = text.strip()
    if allows_none(annotation) and bare in NONES:
        return None
    if bool in kinds and bare in _BOOLS and not _is_number(kinds, bare):
        return _BOOLS[bare]
    if kinds == [bool]:
        return _bool(annotation, bare, path)
    return _fitting(kinds, bare, text, path)


def _own_type_text(annotation: object, text: str, path: str) -> object:
    bare = text.strip()
    if allows_none(annotation) and bare in NONES:
        return None
    as_ron = from_text(Any, text, path)
    registered = field_types_in(annotation)
    kinds = tuple(kind for kind in members(annotation) if kind not in registered)
    otherwise = from_text(Union[kinds], text, path) if kinds else as_ron  # noqa: UP007
    return OwnTypeText((as_ron, text), otherwise)


def _is_number(kinds: list[object], text: str) -> bool:
    return text in "01" and (int in kinds or float in kinds)


def _bool(annotation: object, text: str, path: str) -> object:
    """Return the bool in ``Some(true)``; everything else is refused."""
    try:
        value = read(text)
    except ConfigSyntaxError:
        value = None
    if isinstance(value, bool):
        return value
    allowed = "true, t, 1, false, f or 0"
    if allows_none(annotation):
        allowed += ", or None"
    raise ConfigError(
        "", [Problem(path, f"expected {allowed}, found {short_repr(text)}")]
    )


def _fitting(kinds: list[object], bare: str, text: str, path: str) -> object:
    if any(text in literals(kind) or text in _texts_of_members(kind) for kind in kinds):
        return text
    try:
        value = read(bare)
    except ConfigSyntaxError as error:
        is_beyond = isinstance(error, BeyondFloatError) and float in kinds
        is_ron = all(_needs_ron(kind) for kind in kinds) and not looks_scheduled(text)
        if is_beyond or is_ron:
            message = f"{short_repr(text)} cannot be read: {error.message}"
            if any(map(is_sequence, kinds)) and not text.lstrip().startswith(_OPENING):
                message += f". Write a list in brackets: [{text:.60}]"
            raise ConfigError("", [Problem(path, message)]) from None
        return text
    if isinstance(value, Ident):
        return _ident(kinds, value)
    if isinstance(value, str) or any(_may_hold(kind, value) for kind in kinds):
        return value
    return text if any(not _needs_ron(kind) for kind in kinds) else value


_OPENING = ("[", "(")
"""The first characters of a list or a tuple."""


def _ident(kinds: list[object], word: Ident) -> object:
    if word in _BOOLS or word in NONES:
        value = _BOOLS.get(word)
        values = [v for k in kinds for v in (*literals(k), *_values_of_members(k))]
        if Any in kinds or any(v is value for v in values):
            return value
    return word


def _needs_ron(kind: object) -> bool:
    """Return whether only structured text is meaningful for ``kind``."""
    return kind in _NUMBERS or is_struct(kind) or is_mapping(kind) or is_sequence(kind)


def _texts_of_members(kind: object) -> list[str]:
    """Return the values of an enum's members that are strings, such as ``"1"``."""
    return [value for value in _values_of_members(kind) if isinstance(value, str)]


def _values_of_members(kind: object) -> list[object]:
    if not isinstance(kind, type) or not issubclass(kind, enum.Enum):
        return []
    return [member.value for member in kind]


def _may_hold(kind: object, value: object) -> bool:
    if any(type(v) is type(value) and v == value for v in _values_of_members(kind)):
        return True
    if kind is Any or kind is object:
        return True
    if isinstance(value, bool):
        return kind is bool or value in literals(kind)
    if isinstance(value, int | float):
        if value in (v.value for v in literals(kind) if isinstance(v, enum.Enum)):
            return True
        is_enum = isinstance(kind, type) and issubclass(kind, enum.Enum)
        return kind in (int, float, bool) or value in literals(kind) or is_enum
    if is_dict(value):
        return is_struct(kind) or is_mapping(kind)
    return is_sequence(kind) or (value == () and is_struct(kind))
