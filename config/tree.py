"""Raw trees: the content of a configuration file before any class has validated it.

A tree consists of ``None bool int float str list tuple dict``, and of `NamedStruct` and
`Ident`, which RON has beyond JSON and YAML; upgrade rules add `Weak`.
"""

import copy
import math
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Self, TypeGuard

from .errors import ConfigSyntaxError

MAX_DEPTH = 128
"""The maximal depth of nested values in any file."""

MAX_NODES = 4_000_000
"""The maximal number of values in a file, with aliases expanded."""


MAX_INT_BITS = 14_284
"""Bits of an integer: 4,300 digits, the most that Python writes as text."""


class BeyondFloatError(ConfigSyntaxError):
    """Digits of a number beyond the range of floats: it would be infinite, or 0."""

    def at(self, line: int, column: int) -> "BeyondFloatError":
        """Return the same error for digits at ``line`` and ``column``."""
        return BeyondFloatError(self.message, line, column)


class Rounded(float):
    """A float that differs from the digits that it was read from."""

    digits: str

    def __new__(cls, digits: str) -> Self:
        """Return the float that is nearest to ``digits``."""
        rounded = super().__new__(cls, digits)
        rounded.digits = digits
        return rounded

    def nearest(self) -> float:
        """Return the float. Raises `BeyondFloatError` if only the float is 0."""
        mantissa = self.digits.lower().partition("e")[0]
        if self == 0.0 and not _NONZERO.isdisjoint(mantissa):
            message = f"{self.digits:.40} is too small for a float, which would be 0"
            raise BeyondFloatError(f"{message}. Write 0.0 if that is meant")
        return float(self)

    def __getnewargs__(self) -> tuple[Any]:
        return (self.digits,)


_NONZERO = frozenset("123456789")


def finite(digits: str) -> float:
    """Return the float that the digits denote. Raises `BeyondFloatError`."""
    value = float(digits)
    # Up to 15 digits in this range are exact in a float, and not written as an integer.
    if len(digits) <= 15 and 1e-300 < abs(value) < 1e15:
        return value
    if math.isinf(value):
        message = f"{digits:.40} is too large for a float"
        raise BeyondFloatError(f"{message}; infinity has its own literal")
    return value if _is_exact(digits, value) else Rounded(digits)


def _is_exact(digits: str, value: float) -> bool:
    """Return whether ``value`` equals ``digits``, as an integer or as it is printed."""
    try:
        decimal = Decimal(digits)
    except InvalidOperation:  # an exponent out of the range of Decimal
        return False
    is_same = not value.is_integer() or decimal == Decimal(value)
    return is_same and decimal == Decimal(repr(value))


class NamedStruct(dict[str, Any]):
    """Named fields, with the name of the class that they were written for."""

    __slots__ = ("name",)

    def __init__(
        self, name: str = "", fields: Mapping[str, object] | Iterable[Any] = ()
    ) -> None:
        super().__init__(fields)
        self.name = name

    def __eq__(self, value: object) -> bool:
        same_name = not isinstance(value, NamedStruct) or self.name == value.name
        return same_name and super().__eq__(value)

    def __ne__(self, value: object) -> bool:
        return not self == value

    __hash__ = None

    def __repr__(self) -> str:
        return f"Struct({self.name!r}, {super().__repr__()})"


class Weak(dict[str, Any]):
    """Old defaults inside a struct that the file omits.

    They apply if the struct is created, and do not cause an optional one to be created.
    """

    __slots__ = ()


class Ident(str):
    """A bare word: a struct without fields, an enum's member, or an unquoted string."""

    __slots__ = ()


class StructWord(Ident):
    """A bare word that is the name of a class, so that rules treat it as a struct."""

    __slots__ = ()


_LEAVES = frozenset({str, int, float, bool, type(None), Ident, Rounded})
_EXACT_LEAVES = _LEAVES - {Rounded}


def mark_struct_words(tree: Any, names: Collection[str]) -> Any:
    """Return ``tree`` with bare words in ``names`` replaced by `StructWord`.

    Dicts and lists are changed in place; each must occur only once, as after
    `unshared`.
    """
    if isinstance(tree, Ident):
        return StructWord(tree) if tree in names else tree
    if is_dict(tree):
        for key, item in tree.items():
            tree[key] = mark_struct_words(item, names)
    elif type(tree) is list:
        tree[:] = [mark_struct_words(item, names) for item in tree]
    elif type(tree) is tuple:
        return tuple(mark_struct_words(item, names) for item in tree)
    return tree


def check_bounds(tree: object) -> None:
    """Raise ConfigSyntaxError if ``tree`` is nested too deep or has too many values."""
    level: list[object] = [{"": tree}]
    n_nodes = 0
    for _ in range(MAX_DEPTH + 2):
        level = [item for node in level for item in _items(node)]
        n_nodes += len(level)
        if n_nodes > MAX_NODES:
            raise ConfigSyntaxError(f"expands to over {MAX_NODES:,} values")
        if any(map(_is_endless, level)):
            raise ConfigSyntaxError("a number of over 4,300 digits")
        if not level:
            return
    raise too_deep()


def too_deep(line: int | None = None, column: int | None = None) -> ConfigSyntaxError:
    """Return the error for nesting beyond `MAX_DEPTH`."""
    message = f"nested over {MAX_DEPTH} levels deep, which no configuration needs"
    return ConfigSyntaxError(message, line, column)


def unshared(tree: Any, depth: int = 0) -> Any:
    """Return a copy of ``tree`` in which each dict, list and tuple occurs once.

    If YAML aliases or a program put one object into two places, a change of one would
    change the other. Raises ConfigSyntaxError for a tree that contains itself.
    """
    if depth > MAX_DEPTH + 1:
        raise too_deep()
    if is_dict(tree):
        copied = copy.copy(tree)
        for key, item in tree.items():
            copied[key] = unshared(item, depth + 1)
        return copied
    if is_items(tree):
        items = [unshared(item, depth + 1) for item in tree]
        kind: Any = type(tree)
        return items if kind is list else getattr(kind, "_make", kind)(items)
    return tree if type(tree) in _LEAVES else copy.deepcopy(tree)


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Return whether ``value`` is a dict, of unchecked data."""
    return isinstance(value, dict)


def with_item(container: Any, key: Any, value: object) -> Any:
    """Return ``container`` with ``value`` at ``key``: itself, or a new tuple."""
    if isinstance(container, tuple):
        items: list[object] = list(container)
        items[key] = value
        # A named tuple takes its items as separate arguments.
        return getattr(type(container), "_make", type(container))(items)
    container[key] = value
    return container


def is_items(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Return whether ``value`` is a list or a tuple, of unchecked data."""
    return isinstance(value, list | tuple)


def is_mapping_value(value: object) -> TypeGuard[Mapping[object, object]]:
    """Return whether ``value`` is a mapping, of unchecked data."""
    return isinstance(value, Mapping)


def bare(tree: Any) -> Any:
    """Return ``tree`` as plain dicts and strings, for a type without structs."""
    if isinstance(tree, Ident):
        return str(tree)
    if isinstance(tree, Rounded):
        return tree.nearest()
    if is_dict(tree):
        return {bare(k): bare(item) for k, item in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(bare(item) for item in tree)
    return tree


def has_rounded(tree: object) -> bool:
    """Return whether a number in ``tree`` differs from its digits."""
    waiting: list[Iterable[object]] = [(tree,)]
    for items in waiting:
        # Most containers have no containers inside, and are checked in one call.
        if _EXACT_LEAVES.issuperset(map(type, items)):
            continue
        if Rounded in map(type, items):
            return True
        waiting += [_items(item) for item in items if type(item) not in _EXACT_LEAVES]
    return False


def _is_endless(node: object) -> bool:
    return type(node) is int and node.bit_length() > MAX_INT_BITS


def _items(node: object) -> Iterable[object]:
    if is_dict(node):
        return node.values()
    return node if is_items(node) else ()
