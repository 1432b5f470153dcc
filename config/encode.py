"""Conversion of objects to trees; annotations only decide what may be left out."""

import dataclasses
import enum
from collections import deque
from collections.abc import Iterator, Mapping, Set
from typing import Any

from .classes.field_types import encoded, is_field_type
from .classes.fields import (
    MISSING,
    ClassField,
    declared_as,
    declared_items,
    fields_of,
    is_model,
    is_struct_value,
    structs_in,
)
from .classes.pydantic_internals import extra_values
from .errors import ConfigError, Problem
from .path import child
from .plain.enums import member_value
from .plain.kinds import in_order
from .process.interrupts import raise_of_signal
from .schedule.number import schedule_text
from .short_text import short_repr, with_article
from .tree import (
    MAX_DEPTH,
    MAX_INT_BITS,
    Ident,
    NamedStruct,
    Rounded,
    Weak,
    is_dict,
    is_items,
    is_mapping_value,
)
from .versioned import config_version_of

_AS_IT_IS = (type(None), bool, float, str)
_PLAIN = (*_AS_IT_IS, int)
_SECRET = "get_secret_value"
"""An attribute that all of pydantic's secret types have."""

HOW_TO_REGISTER = (
    "burnish.config.register_field_type adds a rule for storing your own class"
)


def encode(
    obj: object,
    *,
    elide_defaults: bool = False,
    annotation: object = None,
    source_tree: object = None,
) -> Any:
    """Return ``obj`` as a tree; schedules become their text, enums their values.

    With ``elide_defaults`` fields that equal their default are left out, except where
    ``annotation``, the type of the place, does not determine the class of a struct, and
    where the tree ``source_tree`` has them. Raises ConfigError, with its path, for a
    value that cannot be written as text.
    """
    declared = type(obj) if annotation is None else annotation
    return _value(
        obj, declared, "", Elision(source_tree) if elide_defaults else None, 0
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Elision:
    """Decides what may be left out of a tree: defaults not mentioned by the file."""

    source: object = None
    """The file's content at this place; None without a file or content."""

    def names(self, field: ClassField) -> bool:
        """Return whether the file sets ``field``."""
        return self._name_of(field) is not None

    def of_field(self, field: ClassField) -> "Elision":
        """Return the same object for the content of ``field``."""
        name, source = self._name_of(field), self.source
        return Elision(source[name]) if name and is_dict(source) else _OF_DEFAULTS

    def of_items(self) -> "dict[str, Elision]":
        """Return the same object for an item of a list or a dict, by index or key.

        Keys that are enums or numbers in Python are strings in a file.
        """
        source = self.source
        if is_items(source):
            return {str(i): Elision(item) for i, item in enumerate(source)}
        pairs = source.items() if is_dict(source) else ()
        return {str(key): Elision(item) for key, item in pairs}

    def _name_of(self, field: ClassField) -> str | None:
        source = self.source
        if not is_dict(source):
            return None
        # A struct created from old defaults alone was not written by the user.
        names = (n for n in field.names if n in source)
        return next((n for n in names if not isinstance(source[n], Weak)), None)


_OF_DEFAULTS = Elision()


def to_plain(tree: object) -> Any:
    """Return ``tree`` as JSON data: structs as dicts, without tuples and own types."""
    if is_dict(tree):
        return {key: to_plain(item) for key, item in tree.items()}
    if is_items(tree):
        return [to_plain(item) for item in tree]
    if isinstance(tree, Ident):
        return str(tree)
    return float(tree) if isinstance(tree, Rounded) else tree


def data_text(value: object) -> str | None:
    """Return a string that distinguishes values as files do.

    None for objects that no file can hold: their repr may change while they do not, as
    for a progress bar or a lock.
    """
    try:
        return repr(to_plain(encode(value)))
    except ConfigError:
        return None


def without_names(tree: object) -> object:
    """Return ``tree`` as Python data: structs become dicts, tuples are kept."""
    if is_dict(tree):
        return {key: without_names(item) for key, item in tree.items()}
    if is_items(tree):
        return type(tree)(without_names(item) for item in tree)
    return tree


def is_default(field: ClassField, value: object) -> bool:
    """Return whether ``value`` is what the field has if the file omits it."""
    default = field.make_default()
    if default is MISSING:
        return False
    if hasattr(value, _SECRET):
        return type(value) is type(default) and bool(value == default)
    # Compared as trees: NaN equals NaN, and 1 is neither 1.0 nor True.
    try:
        return _is_same_tree(encode(value), encode(default)) and _is_alike(
            value, default
        )
    except ConfigError:
        return False  # Encoding the value reports its path.


def _is_alike(value: Any, default: Any) -> bool:
    """Return whether two values of equal trees have the same types at any depth.

    An unvalidated default, such as a list for a deque, is read back unchanged.
    """
    if type(value) is not type(default):
        # A number that follows a schedule may have the schedule's text as its default.
        return schedule_text(value) is not None and schedule_text(default) is not None
    if type(value) in _PLAIN:
        return True
    if is_struct_value(value):
        names = [f.attribute for f in fields_of(type(value)).values() if f.is_stored]
        return all(_is_alike(getattr(value, n), getattr(default, n)) for n in names)
    if is_mapping_value(value):
        value, default = [*value.items()], [*default.items()]
    if isinstance(value, list | tuple | deque):
        return all(map(_is_alike, value, default))
    return True


def _value(
    obj: object, annotation: object, path: str, elide: Elision | None, depth: int
) -> Any:
    if depth > MAX_DEPTH:
        raise _unwritable(
            path, f"nested over {MAX_DEPTH} levels deep, or contains itself"
        )
    if type(obj) in _PLAIN:
        return _check_int(obj, path)
    scheduled = schedule_text(obj)
    if scheduled is not None:
        return scheduled
    if is_field_type(type(obj)):
        return _data(obj, path, depth)
    if is_struct_value(obj):
        # If several classes are possible, the fields must determine which one it is.
        declared = declared_as(annotation, type(obj))
        is_certain = elide is not None and _is_certain(annotation)
        return _struct(obj, declared, path, elide if is_certain else None, depth)
    if isinstance(obj, enum.Enum):
        return member_value(obj, _PLAIN)
    if is_mapping_value(obj):
        return _mapping(obj, annotation, path, elide, depth)
    if isinstance(obj, list | tuple | deque | Set):
        return _items(obj, annotation, path, elide, depth)
    return _leaf(obj, path)


def _data(obj: object, path: str, depth: int) -> Any:
    """Return the data of an instance of a user-defined type, as a tree."""
    name = type(obj).__qualname__
    try:
        data = encoded(obj)
    except Exception as error:  # code of users
        raise_of_signal(error)
        message = (
            f"{with_article(name)} cannot be written: {type(error).__name__}: "
            f"{error!s:.200}"
        )
        raise _unwritable(path, message) from error
    try:
        return _value(data, Any, path, None, depth + 1)
    except ConfigError as error:
        problems = [
            Problem(p.path, f"{p.message}, in the data of {with_article(name)}")
            for p in error.problems
        ]
        raise ConfigError("", problems) from None


def _mapping(
    obj: Mapping[object, object],
    annotation: object,
    path: str,
    elide: Elision | None,
    depth: int,
) -> dict[object, object]:
    tree: dict[object, object] = {}
    source_items = {} if elide is None else elide.of_items()
    for key, item, declared in declared_items(annotation, obj):
        text = encoded_key(key, path)
        below = elide and source_items.get(str(text), _OF_DEFAULTS)
        tree[text] = _value(item, declared, child(path, text), below, depth + 1)
    if len(tree) < len(obj):
        raise _unwritable(path, "two of its keys are written the same way")
    return tree


def _check_int(obj: object, path: str) -> object:
    if type(obj) is int and obj.bit_length() > MAX_INT_BITS:
        raise _unwritable(path, "a number of over 4,300 digits")
    return obj


def _items(
    obj: Any, annotation: object, path: str, elide: Elision | None, depth: int
) -> object:
    # The items of a set have no order, so those of a file cannot be matched to them.
    is_set = isinstance(obj, Set)
    source_items = {} if elide is None or is_set else elide.of_items()
    items: list[object] = []
    for i, item, declared in declared_items(annotation, obj):
        below = elide and source_items.get(str(i), _OF_DEFAULTS)
        items.append(_value(item, declared, child(path, i), below, depth + 1))
    if is_set:
        items = in_order(items)
    return tuple(items) if isinstance(obj, tuple) else items


def _is_certain(annotation: object) -> bool:
    """Return whether a struct in this place can only be of one class."""
    return len(structs_in(annotation)) == 1


def _struct(
    obj: object, cls: Any, path: str, elide: Elision | None, depth: int
) -> NamedStruct:
    struct = NamedStruct(cls.__name__)
    version = config_version_of(cls)
    if version is not None:
        struct["version"] = version
    for field in fields_of(cls).values():
        is_written = elide is not None and elide.names(field)
        if not field.is_stored:
            _check_init_var(field, path, is_written)
            continue
        value = getattr(obj, field.attribute)
        if elide is not None and not is_written and is_default(field, value):
            continue
        if type(value) in _AS_IT_IS:
            # Most values need no path, and building one takes longer than the rest.
            struct[field.name] = value
            continue
        below = elide and elide.of_field(field)
        encoded = _value(
            value, field.annotation, child(path, field.name), below, depth + 1
        )
        if elide is None or not _says_nothing(field, value, encoded):
            struct[field.name] = encoded
    for name, value in extra_values(obj).items():
        struct[name] = _value(value, Any, child(path, name), None, depth + 1)
    return struct


def _check_init_var(field: ClassField, path: str, is_written: bool) -> None:
    """Raise ConfigError for an ``InitVar`` that files need and no instance keeps."""
    if is_written or not field.has_default:
        message = (
            "the value of an InitVar is not kept, so it cannot be written; use a field"
        )
        raise _unwritable(child(path, field.name), message)


def _says_nothing(field: ClassField, value: object, encoded: object) -> bool:
    """Return whether an empty struct means the same as omitting the field."""
    if not isinstance(encoded, NamedStruct) or encoded:
        return False
    return not field.has_default or is_default(field, value)


def encoded_key(key: object, path: str) -> Any:
    """Return ``key`` of the dict at ``path`` as in trees, such as an enum's value."""
    key = member_value(key, _PLAIN) if isinstance(key, enum.Enum) else key
    if isinstance(key, tuple):
        return tuple(encoded_key(part, path) for part in key)
    return key if type(key) in _PLAIN else _leaf(key, path)


def _leaf(obj: object, path: str) -> object:
    """Return a value of a subclass of a plain type, or one pydantic can write."""
    if dataclasses.is_dataclass(obj) or is_model(obj) or callable(obj):
        raise _unwritable(path, f"{short_repr(obj)} is code, not a value")
    if hasattr(obj, _SECRET):
        raise _unwritable(
            path, "a secret is masked with asterisks, so it cannot be written"
        )
    if isinstance(obj, Iterator):
        # Reading an iterator would exhaust it, and writing must not change the object.
        hint = "is empty once it has been read; declare a Sequence"
        raise _unwritable(path, f"an iterator, as for Iterable, {hint}")
    for kind in (int, float, str):
        if isinstance(obj, kind):
            return kind(obj)
    if isinstance(obj, complex):
        # Pydantic drops the sign of a real part of -0.0.
        return repr(complex(obj)).strip("()")
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(obj)
    except (PydanticSerializationError, ValueError, RecursionError):
        name = type(obj).__qualname__
        raise _unwritable(
            path,
            f"{with_article(name)} cannot be written as text: {short_repr(obj)}. "
            + HOW_TO_REGISTER,
        ) from None


def _is_same_tree(a: object, b: object) -> bool:
    return repr(a) == repr(b) if type(a) is type(b) else False


def _unwritable(path: str, message: str) -> ConfigError:
    return ConfigError("", [Problem(path, message)])
