"""Arguments of modules as plain data and back, by the constructor's declarations.

Numbers, strings, None, lists and dicts are stored as themselves; dtypes, devices and
paths as strings, enums as their values, dataclasses and pydantic models as dicts. Five
kinds of dict represent something else, and each has a key that no other dict may have::

    {"__module__": "net", "__name__": "Net", ...}     a module
    {"__ref__": "encoder.layers.0"}                   the module at that path
    {"__class__": {"__module__": ..., "__name__": ...}}
                                                      a class, or a partial of it
    {"__function__": {"__module__": ..., "__name__": ...}}
                                                      a function, or a partial
    {"__tensor__": {"shape": [3], "dtype": ..., "parameter": false}}
"""

import enum
import os
import types
import typing
from collections.abc import Sequence
from typing import Any

import torch

from ...config.classes.annotations import unresolved
from ...config.classes.declared_types import members
from ...config.classes.field_types import is_field_type
from ...config.classes.fields import is_struct_value
from ...config.plain.codec import TAGGED_DEPTH
from ...config.plain.enums import member_value
from ...config.short_text import short_repr, with_article
from ...records.tensors.dtypes import ALL as DTYPES
from ..errors import HyperparameterError
from .declared import Hint, allows_kinds, declares, may_be_members, names_value
from .descriptions import UnstoredError, description
from .hparams_node import MARKS


def check_depth(path: str, depth: int) -> None:
    """Raise HyperparameterError for data that is nested deeper than any module."""
    if depth > TAGGED_DEPTH:
        raise HyperparameterError(
            f"{path:.120}",
            f"nested over {TAGGED_DEPTH} levels deep, or within itself",
        )


def check_declared(value: object, hint: Hint, where: str) -> None:
    """Raise TypeError if the argument does not declare the class of ``value``."""
    if type(value) not in members(hint):
        name = type(value).__qualname__
        raise UnstoredError(
            where,
            f"an object of {name} is read back only where the argument is annotated "
            f"with it{_annotation_cure(name, hint, where)}.",
            f"{description(value)} ({_short_cure(name, hint)})",
        )


def plain_value(value: Any, hint: Hint, where: str) -> Any:
    """Return a value without items as plain data.

    Raises TypeError that names the argument for a value that no file can hold.
    """
    # A dtype is stored by its name, so that a string with that name would be read as a
    # dtype.
    if isinstance(value, str) and value in DTYPES and not allows_kinds(hint, str):
        problem = (
            f"the string {value!r}, which reads back as the dtype unless the argument "
            "is annotated with str"
        )
        raise UnstoredError(where, problem)
    if value is None or type(value) in (bool, int, float, str):
        if value is not None and may_be_members(hint):
            _check_is_read_back(value, value, hint, where)
        return value
    if isinstance(value, enum.Enum):
        return _enum(value, hint, where)
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # a path
    if is_struct_value(value) or is_field_type(type(value)):
        return _struct(value, hint, where)
    # Instances of subclasses of numbers and strings are stored as these, except for
    # enums.
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    item = getattr(value, "item", None)
    if callable(item) and type(value).__module__ == "numpy" and not value.shape:
        return plain_value(item(), hint, where)
    raise _no_plain_data(value, where)


def plain_key(value: object, hint: Hint, where: str) -> str:
    """Return a key of a dict as the string that JSON uses."""
    is_declared = isinstance(value, int) and int in _key_types(hint)
    if not isinstance(value, str) and not is_declared:
        kind = with_article(type(value).__name__)
        cure = "annotate dict[int, ...]" if type(value) is int else "use strings"
        raise UnstoredError(
            where,
            f"the key {short_repr(value)} of a dict is {kind}, and keys in files are "
            "strings. Use strings, or annotate dict[int, ...].",
            f"a dict that has {kind} as a key ({cure})",
        )
    if value in MARKS:
        problem = f"a dict with the key {value!r}, which would be read back as a module"
        raise UnstoredError(where, problem)
    return str(value)


def restored_value(value: object, hint: Hint) -> Any:
    """Return a value without items as the constructor accepts it."""
    if isinstance(value, str) and not allows_kinds(hint, str):
        if value in DTYPES and (
            allows_kinds(hint, torch.dtype) or not allows_kinds(hint, torch.device)
        ):
            return DTYPES[value]
        if allows_kinds(hint, torch.dtype) and f"torch.{value}" in DTYPES:
            return DTYPES[f"torch.{value}"]
        if allows_kinds(hint, torch.device):
            return torch.device(value)
    return value


def restored_key(key: str, hint: Hint) -> Any:
    """Return the key of a dict as the type that ``hint`` declares for keys."""
    keys = _key_types(hint)
    is_number = int in keys and str not in keys and key.lstrip("-").isdecimal()
    return int(key) if is_number and len(key) < 20 else key


def restored_sequence(items: Sequence[Any], hint: Hint) -> Any:
    """Return ``items`` as the declared kind of sequence."""
    if allows_kinds(hint, torch.Size) and not allows_kinds(hint, tuple, list):
        return torch.Size(items) if all(type(n) is int for n in items) else items
    if allows_kinds(hint, tuple, torch.Size) and not allows_kinds(hint, list):
        return tuple(items)
    return list(items)


def _key_types(hint: Hint) -> tuple[Any, ...]:
    return tuple(arg for m in members(hint) for arg in typing.get_args(m)[:1])


def _enum(value: enum.Enum, hint: Hint, where: str) -> Any:
    stored_value = member_value(value, (bool, int, float, str))
    # A member of an IntEnum or a StrEnum equals its value, but is not identical to it.
    if declares(hint, value) or names_value(hint, value):
        _check_is_read_back(value, stored_value, hint, where)
        return stored_value
    name = type(value).__qualname__
    raise UnstoredError(
        where,
        f"{value} is read back as {stored_value!r} unless the argument is annotated "
        f"with {name}{_unresolved_note(hint)}.",
        f"{name}.{value.name} ({_short_cure(name, hint)})",
    )


def _annotation_cure(name: str, hint: Hint, where: str) -> str:
    """Return how the argument at ``where`` is to be declared for the class ``name``."""
    argument = where.rpartition(".")[2]
    if unresolved(hint) is not None:
        return _unresolved_note(hint)
    if argument.isdecimal():
        return f": list[{name}] for a list, *args: {name} for positional arguments"
    return f": {argument}: {name}"


def _unresolved_note(hint: Hint) -> str:
    text = unresolved(hint)
    return "" if text is None else f", and {text!r} {_HOW_TO_RESOLVE}"


def _short_cure(name: str, hint: Hint) -> str:
    """Return the same in the short form for files."""
    # Versions of Python print annotations differently, and this string is compared.
    if unresolved(hint) is None:
        return f"annotate it with {name}"
    return f"its annotation {_HOW_TO_RESOLVE}"


_HOW_TO_RESOLVE = (
    "is not defined when the program runs: define or import it at the top of the "
    "module, outside of functions and of `if TYPE_CHECKING`"
)


def _check_is_read_back(
    value: object, stored_value: object, hint: Hint, where: str
) -> None:
    """Raise UnstoredError if ``hint`` converts the stored value to a different one.

    A member of an enum is stored as its value, which may be that of a declared enum.
    """
    # A value of an undeclared type is converted by the constructor.
    if isinstance(hint, type) or not names_value(hint, value):
        return
    from ...config.validation.validate import build

    again = build(hint, stored_value)
    if type(again) is not type(value) or again != value:
        raise UnstoredError(
            where,
            f"{short_repr(value)} is read back as {short_repr(again)}, since the "
            "argument is annotated with both. Annotate it with one of them.",
            f"{short_repr(value)} (which the annotation does not distinguish from "
            "others)",
        )


def _struct(value: object, hint: Hint, where: str) -> Any:
    from ...config.encode import encode, to_plain
    from ...config.errors import ConfigError

    check_declared(value, hint, where)
    try:
        return to_plain(encode(value))
    except ConfigError as error:
        raise TypeError(f"{where}: {error}") from error


def _no_plain_data(value: Any, where: str) -> TypeError:
    kind = with_article(type(value).__name__)
    problem = f"{kind} is not plain data: {short_repr(value, 100)}"
    if hasattr(value, "burnish_description"):
        problem = f"{value.burnish_description} is not plain data"
    is_function = isinstance(value, types.FunctionType)
    cure = "Pass the values that it is made from"
    if is_function:
        cure = (
            "Define the function at the top of a module and register it with "
            "burnish.register_function"
        )
    return UnstoredError(
        where,
        f"{problem}. Hyperparameters are numbers, strings, None, lists, dicts, "
        f"dtypes, modules and their classes. {cure}, or set it after building.",
        description(value),
    )


NOT_CAPTURED = (
    "was built before its class was decorated, or by a constructor other than the one "
    "that @burnish.module saw"
)
"""The message about an instance of a decorated class without captured arguments."""

OF_LATER_DATACLASS = (
    "has a constructor that @dataclass generated, which does not record arguments: "
    "put @burnish.module above each @dataclass"
)
"""The message about an instance of a dataclass derived from a decorated class."""

NOT_NOTED = "is of a class that is not decorated, so they were not recorded"
