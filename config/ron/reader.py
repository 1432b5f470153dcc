"""Parser of RON text to a tree."""

from typing import Any

from ..short_text import short_repr
from ..tree import MAX_DEPTH, Ident, NamedStruct, too_deep
from .scanner import Scanner

_WORDS = {
    "true": True,
    "false": False,
    "None": None,
    "inf": float("inf"),
    "NaN": float("nan"),
}


def read(text: str) -> Any:
    """Return the value of ``text``.

    Named structs become `NamedStruct`, bare words `Ident`, ``Some(x)`` is ``x``, and
    ``()`` is the empty tuple. Raises ConfigSyntaxError with line and column.
    """
    scanner = Scanner(text)
    value = _value(scanner, 0)
    if scanner.kind != "end":
        scanner.fail(f"expected the end of the text, found {scanner.token_text()}")
    return value


def _value(scanner: Scanner, depth: int) -> object:
    kind = scanner.kind
    if kind == "value":
        value = scanner.value
        scanner.advance()
        return value
    if depth >= MAX_DEPTH:
        raise too_deep(*scanner.place(scanner.start))
    if kind == "ident":
        return _word_or_struct(scanner, depth)
    if kind == "(":
        return _parenthesis(scanner, "", depth)
    if kind == "[":
        return _list(scanner, depth)
    if kind == "{":
        return _map(scanner, depth)
    return scanner.fail(f"expected a value, found {scanner.token_text()}")


def _word_or_struct(scanner: Scanner, depth: int) -> object:
    name: str = scanner.value
    scanner.advance()
    if scanner.kind == "(":
        return _parenthesis(scanner, name, depth)
    return _WORDS[name] if name in _WORDS else Ident(name)


def _parenthesis(scanner: Scanner, name: str, depth: int) -> object:
    """Return the struct or the tuple that begins here."""
    scanner.advance()
    if scanner.kind == ")":
        scanner.advance()
        return NamedStruct(name) if name else ()
    if scanner.kind == "ident" and scanner.followed_by_colon():
        return _fields(scanner, name, depth)
    items = _items(scanner, ")", depth)
    return items[0] if name == "Some" and len(items) == 1 else tuple(items)


def _fields(scanner: Scanner, name: str, depth: int) -> NamedStruct:
    struct = NamedStruct(name)
    while scanner.kind != ")":
        if scanner.kind != "ident":
            scanner.fail(f"expected a field's name, found {scanner.token_text()}")
        field: str = scanner.value
        if field in struct:
            scanner.fail(f"field {short_repr(field)} is written twice")
        scanner.advance()
        _colon(scanner, field)
        struct[field] = _value(scanner, depth + 1)
        _separate(scanner, ")")
    scanner.advance()
    return struct


def _list(scanner: Scanner, depth: int) -> list[object]:
    scanner.advance()
    return _items(scanner, "]", depth)


def _items(scanner: Scanner, end: str, depth: int) -> list[object]:
    items: list[object] = []
    while scanner.kind != end:
        items.append(_value(scanner, depth + 1))
        _separate(scanner, end)
    scanner.advance()
    return items


def _map(scanner: Scanner, depth: int) -> dict[object, object]:
    scanner.advance()
    items: dict[object, object] = {}
    while scanner.kind != "}":
        start = scanner.start
        key = _key(scanner, depth)
        if key in items:
            scanner.fail(f"key {short_repr(key)} is written twice", start)
        _colon(scanner, key)
        items[key] = _value(scanner, depth + 1)
        _separate(scanner, "}")
    scanner.advance()
    return items


def _key(scanner: Scanner, depth: int) -> object:
    start = scanner.start
    key = _value(scanner, depth + 1)
    try:
        hash(key)
    except TypeError:
        scanner.fail("a list, a map or a struct cannot be a key", start)
    return key


def _colon(scanner: Scanner, name: object) -> None:
    if scanner.kind != ":":
        scanner.fail(
            f"expected ':' after {short_repr(name)}, found {scanner.token_text()}"
        )
    scanner.advance()


def _separate(scanner: Scanner, end: str) -> None:
    if scanner.kind == ",":
        scanner.advance()
    elif scanner.kind != end:
        scanner.fail(f"expected ',' or '{end}', found {scanner.token_text()}")
