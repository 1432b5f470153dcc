"""Types of fields as data, so that an old class can be compared with a new one.

Type
├── Primitive           int, float, str, bool, and types known only by name
├── Option              a type, or None
├── List, Dict, Tuple
├── Literal, Enum
├── Union
├── Struct              named fields, optionally with a version
└── Ref                 a struct that contains itself, by name
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


class Type:
    """The values that a field may have; ``str`` writes it as an annotation."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Primitive(Type):
    """A type without parts, by its name."""

    type: str

    def __str__(self) -> str:
        return self.type


@dataclass(frozen=True, slots=True)
class Option(Type):
    """A type, or None."""

    type: Type

    def __str__(self) -> str:
        return f"{self.type} | None"


@dataclass(frozen=True, slots=True)
class List(Type):
    """Any number of items of one type; sets and open tuples too."""

    inner: Type

    is_set: bool | None = None
    """Whether items are unique and unordered; None in older schema files."""

    def may_become(self, other: "List") -> bool:
        """Return whether ``other`` keeps the repetitions that this one keeps."""
        return self.is_set is not False or not other.is_set

    def __str__(self) -> str:
        return f"{'set' if self.is_set else 'list'}[{self.inner}]"


@dataclass(frozen=True, slots=True)
class Dict(Type):
    """Items of one type by key."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"dict[{self.key}, {self.value}]"


@dataclass(frozen=True, slots=True)
class Tuple(Type):
    """A fixed number of items, each with its own type."""

    items: tuple[Type, ...]

    def __str__(self) -> str:
        return f"tuple[{', '.join(map(str, self.items)) or '()'}]"


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Type):
    """One of several values, of which 1 and True are different ones."""

    allowed_values: tuple[object, ...]

    def __eq__(self, value: object) -> bool:
        return isinstance(value, Literal) and self._typed == value._typed

    def __hash__(self) -> int:
        return hash(self._typed)

    @property
    def _typed(self) -> tuple[tuple[type, object], ...]:
        return tuple((type(value), value) for value in self.allowed_values)

    def __str__(self) -> str:
        return "|".join(map(repr, self.allowed_values))


@dataclass(frozen=True, slots=True)
class Enum(Type):
    """One of several named values; files hold the value."""

    name: str
    variants: Mapping[str, object]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Union(Type):
    """A value of one of several types."""

    members: tuple[Type, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.members))


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct."""

    name: str
    type: Type
    default: object = None
    """The default as a tree, if it has one."""

    has_default: bool = False
    docstring: str = field(default="", compare=False)
    is_optional: bool | None = None
    """Whether a dict may lack the key, which then has no value at all.

    None for a field of a class, which always has a value.
    """


@dataclass(frozen=True, slots=True)
class Struct(Type):
    """Named fields, in order."""

    name: str
    fields: dict[str, Field] = field(default_factory=lambda: {})
    version: int | None = None
    """The version of a versioned class."""

    is_open: bool = False
    """Whether files may hold fields that the class does not have."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Ref(Type):
    """A struct that contains this one, by name."""

    name: str

    def __str__(self) -> str:
        return self.name


def alternatives(kind: Type) -> tuple[Type, ...]:
    """Return the types that a value may have, without None."""
    without_none = kind.type if isinstance(kind, Option) else kind
    return without_none.members if isinstance(without_none, Union) else (without_none,)


def is_subtype(narrow: Type, wide: Type) -> bool:
    """Return whether every value of ``narrow`` is valid for ``wide``, unchanged."""
    if narrow == wide or wide == Primitive("Any"):
        return True
    if isinstance(narrow, Option):
        return _takes_none(wide) and is_subtype(narrow.type, wide)
    if isinstance(narrow, Union):
        return all(is_subtype(member, wide) for member in narrow.members)
    if isinstance(wide, Option):
        return is_subtype(narrow, wide.type)
    if isinstance(wide, Union):
        return any(is_subtype(narrow, member) for member in wide.members)
    return _is_narrower(narrow, wide)


def _is_narrower(narrow: Type, wide: Type) -> bool:
    match narrow, wide:
        case Primitive("int"), Primitive("float"):
            return True
        case Literal(values), Literal(wider):
            return set(values) <= set(wider)
        case Literal(values), Primitive(name):
            return all(_fits(value, name) for value in values)
        case Enum(_, variants), Primitive(name):
            return all(_fits(value, name) for value in variants.values())
        case Enum(_, variants), Literal(wider):
            return all(value in wider for value in variants.values())
        case Literal(values), Enum(_, variants):
            return all(value in variants.values() for value in values)
        case List(a), List(b):
            return is_subtype(a, b) and narrow.may_become(wide)
        case Tuple(items), List(b):
            is_alike = len(items) < 2 or not wide.is_set
            return is_alike and all(is_subtype(item, b) for item in items)
        case Tuple(a), Tuple(b):
            return len(a) == len(b) and all(map(is_subtype, a, b))
        case Dict(key, value), Dict(wide_key, wide_value):
            return is_subtype(key, wide_key) and is_subtype(value, wide_value)
        case _:
            return False


def _fits(value: object, name: str) -> bool:
    kind = type(value).__name__
    return kind == name or (kind, name) == ("int", "float")


def _takes_none(kind: Type) -> bool:
    return isinstance(kind, Option) or kind == Primitive("Any")
