"""Values of user-defined types, created by their classes from the data in a tree."""

from dataclasses import dataclass
from itertools import product

from ..classes.declared_types import allows_none, members
from ..classes.field_types import Ctx, decoded
from ..classes.fields import MISSING, class_of, field_types_in
from ..encode import encode, to_plain
from ..errors import ConfigError, Problem
from ..path import path_below
from ..process.interrupts import raise_of_signal
from ..short_text import short_repr, with_article
from ..tree import bare

OWN_TYPE = "own_type"
"""The kind of all problems that classes have with the data of their objects."""

_OBJECT_OF_A_STATE = "<blob:"
"""The prefix of a string in a state that refers to a file beside it."""


@dataclass(frozen=True, slots=True)
class OwnTypeText:
    """A value as text for a user-defined type, which its class interprets."""

    data: tuple[object, ...]
    """Its possible meanings: its value as RON, and the text itself."""

    otherwise: object
    """The tree for the field's other types."""


def own_type_value(annotation: object, tree: object, path: str, ctx: Ctx) -> object:
    """Return ``tree`` as an object of a user-defined type that accepts it.

    MISSING if another alternative of ``annotation`` may accept it. Raises ConfigError
    with the message of each class.
    """
    kinds = field_types_in(annotation)
    if tree is None and allows_none(annotation):
        return None
    if any(isinstance(tree, class_of(kind)) for kind in kinds):
        return tree
    objects: list[object] = []
    problems: list[Problem] = []
    for kind, data in product(kinds, _data_in(tree)):
        try:
            obj = _decoded(kind, data, path, ctx)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        # A class may accept more than it writes: 1.1 for "1.10", or the letters of a
        # string. Data that it would write itself is unambiguous.
        if _stands_for(data, obj):
            return obj
        objects.append(obj)
    if len(kinds) + allows_none(annotation) < len(members(annotation)):
        return MISSING
    if not objects:
        raise ConfigError("", problems[:: len(_data_in(tree))])
    return objects[0]


def _data_in(tree: object) -> list[object]:
    return [*map(bare, tree.data if isinstance(tree, OwnTypeText) else (tree,))]


def _decoded(kind: object, data: object, path: str, ctx: Ctx) -> object:
    """Return the object that the class creates; ConfigError for any error of it."""
    try:
        return decoded(kind, data, ctx)
    except ConfigError as error:
        problems = [
            Problem(path_below(path, p.path), p.message, OWN_TYPE)
            for p in error.problems
        ]
        raise ConfigError("", problems) from error
    except Exception as error:  # users' code, called with data of a file
        raise_of_signal(error)
        raise ConfigError("", [_refusal(kind, data, path, error)]) from error


def _refusal(kind: object, data: object, path: str, error: Exception) -> Problem:
    name = class_of(kind).__qualname__
    reason = f"{type(error).__name__}: {error!s:.200}"
    message = f"{short_repr(data)} is not {with_article(name)}: {reason}"
    if isinstance(data, str) and data.startswith(_OBJECT_OF_A_STATE):
        reader = "burnish.train.load_state(State, file) reads both"
        message = f"{message}. It refers to a file beside the text of a state; {reader}"
    return Problem(path, message, OWN_TYPE)


def _stands_for(data: object, obj: object) -> bool:
    """Return whether ``data`` is what files store for ``obj``."""
    try:
        # JSON has lists in the place of tuples.
        return repr(to_plain(encode(obj))) == repr(to_plain(data))
    except ConfigError:
        return False
