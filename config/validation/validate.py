"""The single way from a raw tree to an object: upgrade, override, prepare, validate."""

import enum
from collections.abc import Collection, Iterable
from typing import Any

from ..classes.declared_types import key_type, literals, members, type_parts
from ..classes.field_types import Ctx, is_field_type, n_registered
from ..classes.fields import (
    MISSING,
    ClassField,
    fields_of,
    is_mapping,
    is_model,
    is_struct,
)
from ..classes.keyed_types import typed_keys
from ..classes.remembered import remembered
from ..classes.union_choice import is_choice
from ..errors import ConfigError
from ..schedule.number import scheduled
from ..tree import has_rounded, is_mapping_value, with_item
from ..versioned import Rules, has_versions, upgrade
from .normalize import Preparation, SchedulePlace, Step
from .overrides import apply_overrides, override_texts
from .pydantic_check import check, validator_of

_PLAIN: tuple[object, ...] = (str, int, float, bool)
"""Kinds of values that pydantic distinguishes as this library does."""

_has_versions = remembered(has_versions)


def build(
    annotation: object,
    tree: object,
    *,
    source: str = "",
    overrides: Iterable[str] = (),
    ignore_extra: bool = False,
    added: Rules | None = None,
    ctx: Ctx | None = None,
    is_plain: bool = False,
) -> Any:
    """Return the object of type ``annotation`` that ``tree`` describes.

    ``added`` are upgrade rules to try after those of the classes, ``ctx`` is passed to
    `Serializable.deserialize`. A tree that ``is_plain``, of dicts, lists, strings and
    numbers as in JSON, is read faster where pydantic does everything. Raises
    ConfigError with every problem at once, each with its path.
    """
    is_for_pydantic = is_plain and not (ignore_extra or added)
    if is_for_pydantic and _is_strict(annotation) and not _has_versions(annotation):
        overrides = override_texts(overrides)
        config = _built_by_pydantic(annotation, tree, overrides)
        if config is not MISSING:
            return config
    overridden = None
    try:
        is_old = _has_versions(annotation) or added
        upgraded = upgrade(annotation, tree, added) if is_old else tree
        overridden = apply_overrides(annotation, upgraded, overrides)
        preparation = Preparation(ignore_extra=ignore_extra, ctx=ctx or {})
        prepared = preparation.value(annotation, overridden.tree)
        problems = [*overridden.problems, *preparation.problems]
        config = check(annotation, prepared, problems)
    except ConfigError as error:
        if overridden is not None and overridden.is_cause_of(error.problems):
            # A reader who saw the name of the file would look there for the mistake.
            raise type(error)("", error.problems) from error.__cause__
        raise type(error)(source or error.source, error.problems) from error.__cause__
    return put_back(config, preparation.schedules)


def _built_by_pydantic(annotation: object, tree: object, overrides: list[str]) -> Any:
    """Return the object of a plain ``tree``; MISSING if `build` has to handle it.

    For this class pydantic alone refuses everything that `build` refuses.
    """
    from pydantic import ValidationError

    overridden = apply_overrides(annotation, tree, overrides)
    # `build` handles a named struct, as in opt=Adam(lr=1), and knows the digits of a
    # number, of which pydantic would see the nearest float.
    is_for_pydantic = overridden.is_plain and not has_rounded(overridden.tree)
    if overridden.problems or not is_for_pydantic:
        return MISSING
    try:
        return validator_of(annotation).validate_python(overridden.tree)
    except ValidationError:
        # To pydantic the text of a schedule is not a number; and our messages say more.
        return MISSING


def put_back(config: object, places: Iterable[SchedulePlace]) -> Any:
    """Restore the schedules in ``config``, in the same object."""
    # Pydantic converts a scheduled number to a plain one, so it is replaced afterwards.
    for place in places:
        config = _put(config, place.steps, place)
    return config


def _put(value: Any, steps: tuple[Step, ...], place: SchedulePlace) -> Any:
    if not steps:
        return scheduled(place.schedule, place.kind, value)
    step, later_steps = steps[0], steps[1:]
    if isinstance(step, str):
        attribute = fields_of(type(value))[step].attribute
        changed_value = _put(getattr(value, attribute), later_steps, place)
        if is_model(type(value)):
            value.__dict__[attribute] = changed_value
        else:
            object.__setattr__(value, attribute, changed_value)
    else:
        key: Any = list(value)[step] if is_mapping_value(value) else step
        return with_item(value, key, _put(value[key], later_steps, place))
    return value


def _is_strict(annotation: object) -> bool:
    """Return whether pydantic alone refuses everything that `build` refuses."""
    return _is_strict_among(annotation, n_registered())


@remembered
def _is_strict_among(annotation: object, n_field_types: int) -> bool:
    alternatives: list[tuple[object, ...]] = []
    waiting = [annotation]
    while waiting:
        kind = waiting.pop()
        kinds = members(kind)
        if kinds in alternatives:
            continue
        alternatives.append(kinds)
        # The choice among several is ours, and the same for every format.
        if is_choice(kind) or not _is_plain_union(kinds):
            return False
        if not all(map(_is_strict_alone, kinds)):
            return False
        for member in kinds:
            parts = [f.annotation for f in _fields(member)] or type_parts(member)
            waiting.extend(parts)
    return True


def _fields(kind: object) -> Collection[ClassField]:
    return fields_of(kind).values() if is_struct(kind) else ()


def _is_strict_alone(kind: object) -> bool:
    if is_struct(kind):
        return is_model(kind) and kind.model_config.get("extra") == "forbid"
    # Distinct keys may be converted to equal ones, and keys unknown to a typed dict are
    # dropped.
    are_texts = not is_mapping(kind) or key_type(kind) in (str, Any)
    return are_texts and typed_keys(kind) is None and not is_field_type(kind)


def _is_plain_union(kinds: tuple[object, ...]) -> bool:
    """Return whether pydantic chooses among ``kinds`` as `build` does.

    A string may be the value or the name of an enum's member, and a dict a struct.
    """
    values = [value for kind in kinds for value in literals(kind)]
    if any(isinstance(value, enum.Enum | bytes) for value in values):
        return False
    real_kinds = [kind for kind in kinds if kind not in (None, type(None))]
    return len(real_kinds) <= 1 or all(k in _PLAIN or literals(k) for k in real_kinds)
