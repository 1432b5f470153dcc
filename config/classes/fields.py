"""The fields of a configuration class, with their names, types and defaults.

Pydantic models (`Hparams` among them) and plain dataclasses look the same here.
"""

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import (
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
)
from typing import (
    TYPE_CHECKING,
    Any,
    TypeGuard,
    get_args,
    get_origin,
)

from ..short_text import short_repr
from .declared_types import (
    PLAIN_TYPES,
    item_type,
    literals,
    members,
    sequence_in,
    type_parts,
    union_of,
)
from .field_types import is_field_type, n_registered
from .keyed_types import item_types
from .pydantic_internals import is_complete
from .remembered import remembered
from .type_parameters import (
    parameter_values,
    variables_in,
    with_parameters,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

MISSING: Any = dataclasses.MISSING
"""Marks a field without a default."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassField:
    """One field of a struct."""

    name: str
    """Its name in files and overrides."""

    attribute: str
    """Its attribute; differs from the name only for reserved names and aliases."""

    annotation: Any
    """Its type, resolved."""

    names: frozenset[str]
    """Every name that a file may use for it."""

    default: Any = MISSING
    """The default, if it is a value."""

    factory: Callable[[], Any] | None = None
    """Creates the default, if each instance gets a new one."""

    factory_of_data: Callable[[dict[str, Any]], Any] | None = None
    """Creates the default from the fields before it, in a pydantic model."""

    doc: str = ""
    """Its description, if the class declares one itself."""

    is_stored: bool = True
    """Whether instances keep it; an ``InitVar`` is only passed to the constructor."""

    @property
    def has_default(self) -> bool:
        """Whether a file may omit the field."""
        return (
            self.default is not MISSING
            or self.factory is not None
            or self.factory_of_data is not None
        )

    def make_default(self) -> Any:
        """Return the default, a new object if it is mutable.

        MISSING if there is none, or if it is computed from the fields before it, which
        needs an instance.
        """
        return self.factory() if self.factory is not None else self.default


def is_struct(annotation: object) -> TypeGuard[type]:
    """Return whether ``annotation`` is a class with fields, not a user-defined type."""
    cls = class_of(annotation)
    if not isinstance(cls, type) or is_field_type(cls):
        return False
    # Looking up an attribute that a model's class does not have is slow.
    return is_model(cls) or is_dataclass(cls)


def is_dataclass(cls: type) -> bool:
    """Return whether ``cls`` is a dataclass.

    Unlike `dataclasses`, this does not ask a metaclass, which may raise any error.
    """
    try:
        type.__getattribute__(cls, "__dataclass_fields__")
    except AttributeError:
        return False
    return True


def class_of(annotation: object) -> Any:
    """Return the class of a generic dataclass, ``Box`` of ``Box[int]``.

    Other classes are returned unchanged, and None for anything else. For generic models
    pydantic has created a class already.
    """
    return annotation if isinstance(annotation, type) else get_origin(annotation)


def declared_as(annotation: object, cls: type) -> object:
    """Return the alias of ``cls`` in ``annotation``, ``Box[int]``, or else ``cls``."""
    if annotation is cls:
        return cls
    return next((m for m in members(annotation) if class_of(m) is cls), cls)


def is_model(annotation: object) -> "TypeGuard[type[BaseModel]]":
    """Return whether ``annotation`` is a pydantic model, without importing pydantic."""
    # While another thread is importing pydantic, no model exists yet.
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return (
        base is not None
        and isinstance(annotation, type)
        and issubclass(annotation, base)
    )


def is_struct_value(value: object) -> bool:
    """Return whether ``value`` is an instance of a class with fields."""
    return not isinstance(value, type) and is_struct(type(value))


def fields_of(cls: object) -> Mapping[str, ClassField]:
    """Return the fields of a model or dataclass, in order, by their names in files.

    Raises TypeError if an annotation cannot be resolved.
    """
    return _fields_of(cls)


def stored_fields(cls: object) -> tuple[ClassField, ...]:
    """Return the fields that instances keep, in order."""
    return _stored_fields(cls)


def undeclared_attributes(value: object, declared: Container[str]) -> list[str]:
    """Return the public attributes of an instance that are not among ``declared``.

    Private attributes of the class (a cached property) are left out. An attribute of
    the class without an annotation is not a field, so the instance's value for it
    counts.
    """
    cls = type(value)
    return [
        name
        for name in getattr(value, "__dict__", ())
        if not (
            name in declared
            or name.startswith("_")
            or hasattr(inspect.getattr_static(cls, name, None), "__get__")
        )
    ]


# The cache is behind public functions, since type checkers doubt that a class is
# hashable, as arguments of a cache must be.
@remembered
def _stored_fields(cls: object) -> tuple[ClassField, ...]:
    return tuple(field for field in _fields_of(cls).values() if field.is_stored)


@remembered
def _fields_of(cls: object) -> Mapping[str, ClassField]:
    fields = _model_fields(cls) if is_model(cls) else _dataclass_fields(cls)
    return types.MappingProxyType({field.name: field for field in fields})


@remembered
def computed_of(cls: type) -> frozenset[str]:
    """Return the names of fields that are computed from others."""
    return frozenset(getattr(cls, "model_computed_fields", ()) if is_model(cls) else ())


def extra_of(cls: type) -> str | None:
    """Return how ``cls`` treats unknown fields: allow, ignore, forbid or None."""
    config = getattr(cls, "model_config", {}) if is_model(cls) else {}
    extra: str | None = config.get("extra")
    return extra


def types_within(
    annotation: object,
    *,
    is_entered: Callable[[type], bool] = lambda _: True,
    by_name: bool = True,
) -> list[Any]:
    """Return the classes and containers in ``annotation``, at any depth, each once.

    The fields of a class are included where ``is_entered`` returns true, and those of a
    typed dict with ``by_name``. Since an alias may contain itself, every walk through
    types should use this function.
    """
    types_so_far: list[Any] = []
    waiting = [annotation]
    while waiting:
        for member in members(waiting.pop()):
            if member in types_so_far:
                continue
            types_so_far.append(member)
            if not is_struct(member):
                waiting += type_parts(member) if by_name else get_args(member)
            elif is_entered(member):
                waiting += [field.annotation for field in fields_of(member).values()]
    return types_so_far


def is_mapping(annotation: object) -> bool:
    """Return whether ``annotation`` is a dict or another mapping, but not a struct."""
    origin = get_origin(annotation) or annotation
    is_kind = isinstance(origin, type) and issubclass(origin, Mapping)
    return is_kind and not is_struct(origin) and not is_field_type(origin)


def structs_in(annotation: object) -> list[type]:
    """Return the classes with fields among the alternatives, in order."""
    # This is called for every value, most of which declare a class or a number.
    if isinstance(annotation, type):
        return [*_structs_in(annotation, n_registered())]
    return [member for member in members(annotation) if is_struct(member)]


@remembered
def _structs_in(annotation: object, n_field_types: int) -> tuple[type, ...]:
    return tuple(member for member in members(annotation) if is_struct(member))


def may_hold_structs(annotation: object) -> bool:
    """Return whether a value may contain a struct, at any depth."""
    return any(
        kind not in _LEAVES and not literals(kind) and not type_parts(kind)
        for kind in types_within(annotation, is_entered=lambda _: False)
    )


_LEAVES = (int, float, str, bool, complex, bytes, type(None), ...)


def field_types_in(annotation: object) -> list[object]:
    """Return the user-defined types among the alternatives, in order."""
    # Most fields declare one of these, and nothing else.
    if annotation in PLAIN_TYPES:
        return []
    return [member for member in members(annotation) if is_field_type(member)]


def mapping_in(annotation: object) -> object:
    """Return the mapping among the alternatives: the union of several, Any if none.

    A named tuple counts if there is no other, since files may store it by names.
    """
    kinds = members(annotation)
    mappings = [m for m in kinds if is_mapping(m)]
    return union_of(mappings or [m for m in kinds if item_types(m) is not None])


def declared_items(
    annotation: object, container: Iterable[object]
) -> Iterator[tuple[Any, object, object]]:
    """Yield key, item and declared type of the items of a dict, a list or the like.

    The key of an item of a sequence is its index.
    """
    if isinstance(container, Mapping):
        kind = mapping_in(annotation)
        pairs: Iterable[tuple[object, object]] = container.items()
    else:
        kind, pairs = sequence_in(annotation), enumerate(container)
    for key, item in pairs:
        yield key, item, item_type(kind, key)


def _dataclass_fields(declared: object) -> list[ClassField]:
    cls = class_of(declared)
    if not hasattr(cls, "__dataclass_fields__"):
        raise TypeError(
            f"{short_repr(declared)} has no fields; expected a dataclass, a pydantic "
            "model or a subclass of burnish.config.Hparams"
        )
    hints = _hints_of(declared)
    # In the order of the constructor; arguments of __post_init__ are not stored.
    everything = cls.__dataclass_fields__.values()
    stored_names = {field.name for field in dataclasses.fields(cls)}
    init_only = dataclasses._FIELD_INITVAR  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]  # no public way tells them
    return [
        _dataclass_field(field, hints[field.name], field.name in stored_names)
        for field in everything
        if field.init and (field.name in stored_names or field._field_type is init_only)
    ]


def _dataclass_field(
    field: "dataclasses.Field[Any]", annotation: object, is_stored: bool
) -> ClassField:
    default, factory = field.default, _factory_of(field.default_factory)
    factory_of_data, doc = None, str(field.metadata.get("doc", ""))
    # In a pydantic dataclass the default may be inside of the result of Field().
    if _is_field_info(default):
        info: Any = default
        default, doc = MISSING, info.description or doc
        if info.default_factory_takes_validated_data:
            factory_of_data = info.default_factory
        elif info.default_factory is not None:
            factory = info.default_factory
        elif not info.is_required():
            default = info.default
    return ClassField(
        name=field.name,
        attribute=field.name,
        annotation=annotation,
        names=frozenset([field.name]),
        default=default,
        factory=factory,
        factory_of_data=factory_of_data,
        doc=doc,
        is_stored=is_stored,
    )


def _is_field_info(default: object) -> bool:
    """Return whether ``default`` is pydantic's, without importing pydantic."""
    cls = type(default)
    return cls.__name__ == "FieldInfo" and cls.__module__ == "pydantic.fields"


def _hints_of(declared: object) -> dict[str, Any]:
    """Return the types of a dataclass's fields, with its type parameters replaced.

    Raises TypeError for a type variable of a base class, which pydantic would not
    check.
    """
    cls, values = class_of(declared), parameter_values(declared)
    names = getattr(cls, "__parameters__", ())
    hints = _hints(cls)
    for name, hint in hints.items():
        free = variables_in(hint)
        unknown = [str(variable) for variable in free if variable not in names]
        if unknown:
            raise TypeError(
                f"{cls.__qualname__}.{name}: its type is the type variable "
                f"{unknown[0]} of a base class. Annotate the field again in "
                f"{cls.__qualname__}, or derive from Hparams, which resolves it."
            )
        hints[name] = with_parameters(hint, values)
    return hints


def _factory_of(factory: Any) -> Callable[[], Any] | None:
    return None if factory is MISSING else factory


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as unknown:
        raise _unresolvable(cls, unknown) from unknown


def _unresolvable(cls: type, unknown: NameError) -> TypeError:
    return TypeError(
        f"{cls.__qualname__}: the annotation {unknown.name!r} cannot be resolved. "
        "Define or import it at the top of the module, outside of functions and of "
        "`if TYPE_CHECKING`."
    )


def _model_fields(cls: Any) -> list[ClassField]:
    if not is_complete(cls):
        try:
            cls.model_rebuild()
        except NameError as unknown:
            raise _unresolvable(cls, unknown) from unknown
    return [_model_field(cls, name, info) for name, info in cls.model_fields.items()]


def _model_field(cls: Any, attribute: str, info: Any) -> ClassField:
    alias = info.validation_alias or info.alias
    choices = [c for c in getattr(alias, "choices", [alias]) if isinstance(c, str)]
    by_name = cls.model_config.get("populate_by_name") or cls.model_config.get(
        "validate_by_name"
    )
    names = [*choices, *([attribute] if by_name or not choices else [])]
    required, has_factory = info.is_required(), info.default_factory is not None
    is_of_data = has_factory and info.default_factory_takes_validated_data
    return ClassField(
        name=names[0],
        attribute=attribute,
        annotation=info.rebuild_annotation(),
        names=frozenset(names),
        default=MISSING if required or has_factory else info.default,
        factory=None if is_of_data else info.default_factory,
        factory_of_data=info.default_factory if is_of_data else None,
        doc=info.description or "",
    )
