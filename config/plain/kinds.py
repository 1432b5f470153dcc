"""Kinds of value that Python itself has, for the languages that take them."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from .codec import Decode, Decoding, Encoding, Kind
from .node import Node


class PlainDecoding(Decoding):
    """Makes values of nodes in which tensors and tuples are made already."""

    def leaf(self, node: Node, path: str, depth: int) -> Any:
        """Return what is not a container as it is: tensors, arrays, bytes, numbers."""
        return tuple(self.items(node, path, depth)) if type(node) is tuple else node


def tagged(
    tag: str,
    types: type | tuple[type, ...],
    parts: Callable[[Any], object],
    make: Callable[[Any], object],
    *,
    is_exact: bool = False,
) -> Kind:
    """Return the kind of values that are ``make(parts(value))``.

    Its nodes are ``{tag: parts}``; a container's parts are a list or a dict, others' a
    text.
    """

    def encode(encoding: Encoding, value: object, path: str, depth: int) -> Node:
        return {tag: encoding.encode(parts(value), path, depth + 1)}

    return Kind(
        types=types,
        encode=encode,
        tag=tag,
        decode=making(make),
        is_deep=True,
        is_exact=is_exact,
    )


def making(make: Callable[[Any], object]) -> Decode:
    """Return what decodes the content of a tag, and makes the value of that."""

    def decode(decoding: Decoding, content: Node, path: str, depth: int) -> Any:
        return make(decoding.decode(content, path, depth + 1))

    return decode


def sequence(
    tag: str,
    types: type | tuple[type, ...],
    make: Callable[[Any], object],
    order: Callable[[Any], Iterable[object]] = list,
    *,
    is_exact: bool = False,
) -> Kind:
    """Return the kind of sequences or sets that are a list below a tag."""

    def encode(encoding: Encoding, value: object, path: str, depth: int) -> Node:
        return {tag: encoding.items(order(value), path, depth)}

    def decode(decoding: Decoding, content: Node, path: str, depth: int) -> object:
        return make(decoding.items(list(content), path, depth))

    return Kind(
        types=types,
        encode=encode,
        tag=tag,
        decode=decode,
        is_deep=True,
        is_exact=is_exact,
    )


def text(
    tag: str,
    types: type | tuple[type, ...],
    make: Callable[[Any], object],
    spell: Callable[[Any], str] = str,
) -> Kind:
    """Return the kind of values that are a text below a tag."""
    return Kind(
        types=types,
        encode=lambda encoding, value, path, depth: {tag: spell(value)},
        tag=tag,
        decode=lambda decoding, content, path, depth: make(content),
    )


def unmarked(
    types: type | tuple[type, ...], convert: Callable[[Any], object] | None = None
) -> Kind:
    """Return the kind of values without a tag: themselves, or what ``convert`` says."""
    if convert is None:
        return Kind(types=types, encode=lambda encoding, value, path, depth: value)
    return Kind(types=types, encode=lambda encoding, value, path, depth: convert(value))


def lists(*, is_exact: bool = False) -> Kind:
    """Return the kind of lists, which every language has as they are."""
    return Kind(
        types=list,
        encode=lambda encoding, value, path, depth: encoding.items(value, path, depth),
        is_deep=True,
        is_exact=is_exact,
    )


def float_name(value: float) -> str | None:
    """Return what files call a float that has no digits, None for any other."""
    return None if math.isfinite(value) else repr(float(value))


def in_order(values: Iterable[object]) -> list[object]:
    """Return the items of a set in an order that is the same in every process.

    By their texts, since sets may mix what cannot be compared.
    """
    return sorted(values, key=repr)


def by_value(values: Iterable[object]) -> list[Any]:
    """Return the items of a set from small to large, or `in_order` if none is."""
    try:
        return sorted(values)
    except TypeError:
        return in_order(values)


FACTORIES: dict[Any, str] = {
    cls: cls.__name__ for cls in (int, float, list, dict, set, str, bool, tuple)
}
"""What a defaultdict makes for a new key, where files can tell it."""

_FACTORIES_BY_NAME = {name: factory for factory, name in FACTORIES.items()}


def defaultdict_of(pair: Any) -> object:
    """Return the defaultdict of a factory's name and items."""
    return defaultdict(_FACTORIES_BY_NAME[pair[0]], pair[1])
