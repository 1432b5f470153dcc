"""Reading back what is written, so that no value comes back as a different one.

Text carries less than objects: JSON has no tuples, and a union's members may look
alike. Instead of a list of values that cannot be distinguished, the reader decides.
"""

import datetime
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import (
    Collection,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
    Set,
)
from typing import Any, cast, get_origin

from ..classes.declared_types import item_type, key_type, members, sequence_in
from ..classes.declared_types import literals as literals_of
from ..classes.field_types import Ctx, encoded, is_field_type
from ..classes.fields import declared_as, is_struct_value, mapping_in, stored_fields
from ..classes.pydantic_internals import extra_values
from ..classes.remade_fields import remade_fields_in
from ..encode import data_text, encode, to_plain
from ..errors import ConfigError, Problem
from ..path import child
from ..process.interrupts import raise_of_signal
from ..process.user_warning import warn_user
from ..schedule.number import schedule_text
from ..short_text import short_repr, with_article
from ..tree import NamedStruct, is_mapping_value
from .validate import build

HOW_TO_DECLARE = (
    "Declare a type that tells them apart (a Literal field does for classes)"
)
_HOW_TO_TIME = (
    "Text keeps only a time's offset from UTC in minutes, and not its zone; give it in "
    "UTC: time.astimezone(datetime.timezone.utc)"
)
_DATA_HINT = (
    "Let the class write numbers, strings, None, lists and dicts, or rebuild what it "
    "wrote"
)
_ITEMS = (list, tuple, deque)
_ABSTRACT_CONTAINERS = frozenset([Mapping, MutableMapping, MutableSequence, Sequence])
_PLAIN = frozenset([type(None), bool, int, float, str])


def check_read_back(value: object, tree: object, *, ctx: Ctx | None = None) -> None:
    """Raise ConfigError unless ``tree`` is read back as ``value``.

    ``ctx`` is passed to `Serializable.deserialize`. A container without a class has no
    reader, so that only its strings and numbers are compared.
    """
    if not is_struct_value(value):
        _refuse(first_misread(Any, to_plain(encode(value)), to_plain(tree), ""))
        return
    is_plain = not isinstance(tree, NamedStruct)
    try:
        again = build(type(value), tree, ctx=ctx, is_plain=is_plain)
    except ConfigError as error:
        problems = [
            Problem(p.path, f"cannot be read back: {p.message}") for p in error.problems
        ]
        raise ConfigError(error.source, problems) from None
    _refuse(first_misread(type(value), value, again, ""))
    changed = [*_changed_remade(value, again)]
    if changed:
        _warn_of_remade(changed)


def first_misread(
    annotation: object, value: object, again: object, path: str
) -> Problem | None:
    """Return the first path at which ``again`` differs from ``value``.

    A value that its field does not declare, such as a list for a tuple in a class
    without validation, may come back as what the field declares.
    """
    if schedule_text(value) is not None or schedule_text(again) is not None:
        return (
            None
            if schedule_text(value) == schedule_text(again)
            else _misread(value, again, path)
        )
    if is_struct_value(value):
        return _in_struct(annotation, value, again, path)
    if is_field_type(type(value)):
        if type(value) is type(again):
            return _in_data(value, again, path)
        is_same = _is_same_scalar(annotation, value, again)
        return None if is_same else _misread(value, again, path)
    if is_mapping_value(value) and is_mapping_value(again):
        return _in_mapping(annotation, value, again, path)
    if isinstance(value, Set) and isinstance(again, Set):
        is_other = type(value) is not type(again) and _declares(annotation, value)
        is_same = not is_other and _same_sets(value, again)
        return None if is_same else _misread(value, again, path)
    if isinstance(value, _ITEMS) and isinstance(again, _ITEMS):
        return _in_items(annotation, value, again, path)
    return (
        None
        if _is_same_scalar(annotation, value, again)
        else _misread(value, again, path)
    )


def _in_struct(
    annotation: object, value: object, again: object, path: str
) -> Problem | None:
    if type(again) is not type(value):
        return _misread(value, again, path)
    for field in stored_fields(declared_as(annotation, type(value))):
        pair = getattr(value, field.attribute), getattr(again, field.attribute)
        if _is_same_plain(*pair):
            continue
        problem = first_misread(field.annotation, *pair, child(path, field.name))
        if problem is not None:
            return problem
    extra, extra_again = extra_values(value), extra_values(again)
    # Few classes have extra fields, and even an empty comparison takes time.
    has_extra = extra or extra_again
    return _in_mapping(Any, extra, extra_again, path) if has_extra else None


def _in_data(value: object, again: object, path: str) -> Problem | None:
    """Return where the data of two objects of a user-defined type differs.

    The class's own data is compared: text has a list for a set, which the class may
    restore.
    """
    name = type(value).__qualname__
    try:
        data, data_again = encoded(value), encoded(again)
    except Exception as error:  # users' code
        raise_of_signal(error)
        message = (
            f"{with_article(name)} cannot be written: {type(error).__name__}: "
            f"{error!s:.200}"
        )
        return Problem(path, message)
    problem = first_misread(Any, data, data_again, path)
    if problem is None:
        return None
    message = problem.message.partition(f". {HOW_TO_DECLARE}")[0]
    return Problem(
        problem.path, f"{message}, in the data of {with_article(name)}. {_DATA_HINT}"
    )


def _changed_remade(
    value: object, again: object
) -> Iterator[tuple[str, object, object]]:
    """Yield the fields that constructors fill themselves, where their values differ.

    Values that cannot be written as text may be anything, and are not compared.
    """
    structs_again = {place.path: place.struct for place in remade_fields_in(again)}
    for place in remade_fields_in(value):
        struct_again = structs_again.get(place.path)
        if type(struct_again) is not type(place.struct):
            continue
        item, item_again = (
            getattr(struct, place.field.name, None)
            for struct in (place.struct, struct_again)
        )
        is_data = data_text(item) is not None
        if is_data and first_misread(Any, item, item_again, "") is not None:
            yield place.path, item, item_again


def _warn_of_remade(changed: Sequence[tuple[str, object, object]]) -> None:
    path, value, again = changed[0]
    more_text = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
    warn_user(
        f"{path}{more_text}: {short_repr(value)} is not written, since the constructor "
        f"takes no such argument (init=False), and the text is read as "
        f"{short_repr(again)}. Remove init=False, or begin the name with _ if it need "
        "not be saved",
        RuntimeWarning,
    )


def _is_same_plain(value: object, again: object) -> bool:
    """Return whether both are the same string or number, as nearly all values are.

    This is faster than finding out what their paths are.
    """
    is_plain = type(value) in _PLAIN and type(value) is type(again)
    return is_plain and value == again


def _in_mapping(
    annotation: object,
    value: Mapping[Any, object],
    again: Mapping[Any, object],
    path: str,
) -> Problem | None:
    if not _is_same_container(annotation, value, again):
        return _misread(value, again, path)
    kind = mapping_in(annotation)
    keys = key_type(kind)
    for (key, item), (key_again, item_again) in zip(
        value.items(), again.items(), strict=True
    ):
        if first_misread(keys, key, key_again, "") is not None:
            return _misread(key, key_again, path, "key ")
        if _is_same_plain(item, item_again):
            continue
        below = first_misread(item_type(kind, key), item, item_again, child(path, key))
        if below is not None:
            return below
    return None


def _in_items(
    annotation: object, value: Sequence[object], again: Sequence[object], path: str
) -> Problem | None:
    if not _is_same_container(annotation, value, again):
        return _misread(value, again, path)
    kind = sequence_in(annotation)
    for i, (item, item_again) in enumerate(zip(value, again, strict=True)):
        if _is_same_plain(item, item_again):
            continue
        below = first_misread(item_type(kind, i), item, item_again, child(path, i))
        if below is not None:
            return below
    return None


def container_misread(
    annotation: object, value: object, again: object, path: str
) -> Problem | None:
    """Return the result of `first_misread` for containers, without their items.

    Items of sequences and values of mappings are compared elsewhere; keys are not.
    """
    if is_mapping_value(value) and is_mapping_value(again):
        if not _is_same_container(annotation, value, again):
            return _misread(value, again, path)
        return first_misread(Any, dict.fromkeys(value), dict.fromkeys(again), path)
    is_kept = (
        isinstance(value, _ITEMS)
        and isinstance(again, _ITEMS)
        and _is_same_container(annotation, value, again)
    )
    return None if is_kept else _misread(value, again, path)


def _is_same_container(
    annotation: object, value: Collection[object], again: Collection[object]
) -> bool:
    """Return whether ``again`` may stand for ``value``, apart from their items.

    Both must have the same length and class, and the same other attributes (of a deque
    or a defaultdict). If the field declares any mapping or sequence, the one that a
    text gives is as good as the original, and so is, everywhere, a dict in order for an
    OrderedDict.
    """
    if len(value) != len(again):
        return False
    if type(value) is type(again):
        return _beside_items(value) == _beside_items(again)
    if type(value) is OrderedDict and type(again) is dict:
        return True
    kinds = {get_origin(member) or member for member in members(annotation)}
    is_any = not kinds.isdisjoint(_ABSTRACT_CONTAINERS)
    return is_any or not _declares(annotation, value)


def _beside_items(container: object) -> object:
    """Return the attributes of a container that its equality ignores."""
    if isinstance(container, defaultdict):
        return cast("defaultdict[object, object]", container).default_factory
    is_bounded = isinstance(container, deque)
    return cast("deque[object]", container).maxlen if is_bounded else None


def _same_sets(value: Set[object], again: Set[object]) -> bool:
    types = sorted(str(type(item)) for item in value)
    if value == again:
        return Counter(map(_clock, value)) == Counter(map(_clock, again))
    return types == sorted(str(type(item)) for item in again) and sorted(
        map(repr, value)
    ) == sorted(map(repr, again))


def _is_same_scalar(annotation: object, value: object, again: object) -> bool:
    """Return whether two values without items are equal, as the field sees it."""
    if type(value) is type(again):
        return _equal(value, again)
    is_number = isinstance(value, int | float) and isinstance(again, int | float)
    if is_number and not isinstance(value, enum.Enum):
        kinds = members(annotation)
        # In a field of any type nothing converted 1 to True: they differed from the
        # start.
        is_other = isinstance(value, bool) != isinstance(again, bool) and (
            Any in kinds or object in kinds
        )
        return type(value) not in kinds and not is_other and value == again
    if _declares(annotation, value):
        return False
    try:
        return _equal(to_plain(encode(value)), to_plain(encode(again)))
    except ConfigError:
        return False


def _equal(value: object, again: object) -> bool:
    try:
        is_equal = bool(value == again) and _clock(value) == _clock(again)
        if isinstance(value, complex):
            is_equal = False  # its text distinguishes the zeros
        return is_equal or repr(value) == repr(again)
    except Exception as error:  # an object's comparison may raise anything
        raise_of_signal(error)
        return False


def _clock(value: object) -> object:
    """Return what the equality of two times ignores: the zone, and the fold.

    Text has the offset at that moment alone, so that a zone whose offset changes comes
    back as a different one, and the second of two equal hours as the first.
    """
    if not isinstance(value, datetime.datetime | datetime.time):
        return None
    zone = value.tzinfo
    offset = None if zone is None else zone.utcoffset(None)
    return value.fold, zone if offset is None else offset


def _declares(annotation: object, value: object) -> bool:
    """Return whether ``value`` is of the annotation's type, without a conversion."""
    for member in members(annotation):
        kind = get_origin(member) or member
        if kind in (Any, object) or any(
            type(v) is type(value) and v == value for v in literals_of(member)
        ):
            return True
        if isinstance(kind, type) and _is_instance(value, kind):
            return True
    return False


def _is_instance(value: object, kind: type) -> bool:
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that cannot be checked at run time
        return False


def _misread(value: object, again: object, path: str, role: str = "") -> Problem:
    a, b = (f"{type(v).__qualname__} {short_repr(v)}" for v in (value, again))
    if type(value) is type(again) and _clock(value) != _clock(again):
        return Problem(path, f"the {role}{a} would be read as the {b}. {_HOW_TO_TIME}")
    # RON has keys of every kind, tuples, and names of structs; but no enums, bytes or
    # sets.
    is_in_ron = bool(role) or isinstance(value, tuple) or is_struct_value(value)
    hint = f"{HOW_TO_DECLARE}, or write RON" if is_in_ron else HOW_TO_DECLARE
    return Problem(path, f"the {role}{a} would be read as the {b}. {hint}")


def _refuse(problem: Problem | None) -> None:
    if problem is not None:
        raise ConfigError("", [problem])
