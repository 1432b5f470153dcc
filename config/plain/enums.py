"""Members of enums in files: by name, flags with bars between names, or by value."""

import enum
import functools
import operator
from typing import Any


def member_name(member: enum.Enum, path: str) -> str:
    """Return what a stored member is called: of flags, several names or none."""
    cls: Any = type(member)
    if member.name in cls.__members__ or not isinstance(member, enum.Flag):
        return str(member.name)
    names = [flag.name for flag in cls if flag in member]
    if functools.reduce(operator.or_, (cls[str(n)] for n in names), cls(0)) != member:
        raise TypeError(f"{path}: {member!r} has bits without a name in {cls.__name__}")
    return "|".join(map(str, names))


def member_of(cls: type[enum.Enum], name: str) -> enum.Enum | None:
    """Return the member, or the flags with bars between them; None for another name."""
    if name in cls.__members__:
        return cls[name]
    names = name.split("|") if name else []
    if not issubclass(cls, enum.Flag) or not cls.__members__.keys() >= set(names):
        return None
    return functools.reduce(operator.or_, (cls[n] for n in names), cls(0))


def member_value(member: enum.Enum, plain_types: tuple[type, ...]) -> object:
    """Return the value of ``member``, or its name where that is not ``plain`` data."""
    return member.value if type(member.value) in plain_types else member.name
