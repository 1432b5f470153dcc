"""Keys of dicts: files have strings, and a field's hint gives their original type."""

import enum
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from ...config.plain.enums import member_name, member_of


def by_texts(value: Mapping[Any, object], path: str) -> dict[str, Any]:
    """Return ``value`` with its keys as strings, as JSON requires.

    TypeError names ``path`` if a key has no string form, or two have the same.
    """
    by_text: dict[str, Any] = {}
    keys: dict[str, object] = {}
    for key, item in value.items():
        text = _text_of(key, path)
        if text in keys:
            raise TypeError(
                f"{path}: the keys of a dict must differ as strings here, found "
                f"{keys[text]!r} and {key!r}"
            )
        by_text[text], keys[text] = item, key
    return by_text


def check_text_key(key: object, path: str) -> None:
    """Raise TypeError for a key that is not a string and would come back as one."""
    if not isinstance(key, str):
        raise TypeError(f"{path}: a dict needs str keys here, found {key!r}")


def _text_of(key: object, path: str) -> str:
    """Return the string that represents ``key``: for a non-string enum, its name."""
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, enum.Enum):
        return member_name(key, path)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    raise TypeError(
        f"{path}: a dict needs keys that are str, int or members of an enum here, "
        f"found {key!r}"
    )


def key_of_text(hint: Any, text: str) -> Any:
    """Return the key of type ``hint`` that ``text`` represents.

    Of a union it is the first type that has such a key. Raises LookupError if none has.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return key_of_text(args[0], text)
    if origin is typing.Literal:
        return _key_among(text, args)
    if origin in (typing.Union, types.UnionType):
        return _of_union(args, text)
    if isinstance(hint, typing.NewType):
        return key_of_text(hint.__supertype__, text)
    if hint is str or hint in (Any, object, typing.Any) or isinstance(hint, TypeVar):
        return text
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _member(hint, text)
    if hint is int:
        return _integer(text)
    if isinstance(hint, type) and issubclass(hint, str):
        return hint(text)
    raise LookupError(text)


def name_of_key_hint(hint: object) -> str:
    """Return a description of the keys that ``hint`` declares."""
    name = getattr(hint, "__name__", str(hint))
    return f"keys of {name}"


def _of_union(hints: tuple[Any, ...], text: str) -> Any:
    for hint in hints:
        try:
            return key_of_text(hint, text)
        except LookupError:
            continue
    raise LookupError(text)


def _key_among(text: str, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        if key is not None and not isinstance(key, bool) and _text_of(key, "") == text:
            return key
    raise LookupError(text)


def _member(cls: type[enum.Enum], text: str) -> enum.Enum:
    """Return the member for which `_text_of` returned ``text``."""
    member = member_of(cls, text)
    if issubclass(cls, str):
        member = next((m for m in cls if str.__str__(m) == text), None)
    if member is None:
        raise LookupError(text)
    return member


def _integer(text: str) -> int:
    # Python also accepts spaces and underscores, which no key was written with.
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal() or str(int(text)) != text:
        raise LookupError(text)
    return int(text)
