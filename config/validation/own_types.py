"""Values of types of one's own: what their classes make of the data in a tree."""

from dataclasses import dataclass
from itertools import product

from ..classes.field_types import Ctx, decoded
from ..classes.fields import MISSING, allows_none, class_of, field_types_in, members
from ..encode import encode, to_plain
from ..errors import ConfigError, Problem
from ..path import path_below
from ..process.interrupts import raise_of_signal
from ..short_text import short_repr, with_article
from ..tree import bare

OWN_TYPE = "own_type"
"""The kind of all problems that classes have with the data of their objects."""

_OBJECT_OF_A_STATE = "<blob:"
"""How a text of a state begins that stands for a file beside it."""


@dataclass(frozen=True, slots=True)
class OwnTypeText:
    """A value written as text for a type of one's own, whose class knows what it is."""

    data: tuple[object, ...]
    """What it may stand for: what it is as RON, and the text itself."""

    otherwise: object
    """The tree for the other types of the field."""


def own_type_value(annotation: object, tree: object, path: str, ctx: Ctx) -> object:
    """Return ``tree`` as an object of a type of one's own that takes it.

    MISSING if another alternative of ``annotation`` may take it. Raises ConfigError
    with what each class said.
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
        # A class may take more than it writes: 1.1 for "1.10", or a text letter by
        # letter. What it would write itself is certain.
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
    """Return what the class makes of its data; ConfigError for all that it raises."""
    try:
        return decoded(kind, data, ctx)
    except ConfigError as error:
        problems = [
            Problem(path_below(path, p.path), p.message, OWN_TYPE)
            for p in error.problems
        ]
        raise ConfigError("", problems) from error
    except Exception as error:  # users' code, on data of a file
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
    """Return whether ``data`` is what files hold of ``obj``."""
    try:
        # JSON has lists where tuples were written.
        return repr(to_plain(encode(obj))) == repr(to_plain(data))
    except ConfigError:
        return False
