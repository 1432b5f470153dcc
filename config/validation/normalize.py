"""Preparation of a raw tree for its class: what pydantic does not do itself.

Unknown fields are refused with the most similar name, omitted structs are built from
their defaults, enum members are found by value or name, and schedules are removed from
number fields, to be restored once the values are validated.
"""

import enum
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Union

from ..classes.declared_types import (
    allows_none,
    is_set,
    item_type,
    key_type,
    literals,
    members,
    sequence_in,
)
from ..classes.field_types import Ctx
from ..classes.fields import (
    MISSING,
    ClassField,
    class_of,
    computed_of,
    extra_of,
    field_types_in,
    fields_of,
    is_struct_value,
    mapping_in,
    structs_in,
)
from ..classes.keyed_types import is_closed, item_types, typed_keys
from ..classes.union_choice import (
    check_declared_classes,
    is_choice,
    name_problem,
    struct_for,
    structs_for,
)
from ..encode import encode, is_default
from ..errors import MAX_SHOWN, ConfigError, Problem
from ..path import child, path_below
from ..schedule.number import as_kind, schedule_of, start_of
from ..schedule.schedule import Schedule, looks_scheduled
from ..short_text import first_names, short_repr
from ..spelling import did_you_mean
from ..tree import BeyondFloatError, NamedStruct, Rounded, Weak, bare, is_dict, is_items
from ..versioned import upgrade
from .own_types import OwnTypeText, own_type_value
from .pydantic_check import check

_NUMBERS = (int, float, bool)

_TAKES_TEXT: tuple[object, ...] = (str, Any, object)
"""Types of fields that accept any string unchanged."""

Step = str | int
"""A field's name, or the index of an item in a list, a tuple or a dict."""


@dataclass(frozen=True, slots=True)
class SchedulePlace:
    """The path of a schedule that was removed."""

    steps: tuple[Step, ...]
    schedule: Schedule
    kind: type


@dataclass(slots=True, kw_only=True)
class Preparation:
    """Prepares one tree, and records the problems and schedules it finds."""

    ignore_extra: bool = False
    ctx: Ctx = field(default_factory=lambda: {})
    """The context passed to `Serializable.deserialize`."""
    problems: list[Problem] = field(default_factory=lambda: [])
    schedules: list[SchedulePlace] = field(default_factory=lambda: [])

    def value(
        self,
        annotation: object,
        tree: object,
        path: str = "",
        steps: tuple[Step, ...] = (),
    ) -> object:
        """Return ``tree`` as pydantic accepts it for ``annotation``."""
        if field_types_in(annotation):
            try:
                obj = own_type_value(annotation, tree, path, self.ctx)
            except ConfigError as error:
                self.problems.extend(error.problems)
                return tree
            if obj is not MISSING:
                return obj
            tree = tree.otherwise if isinstance(tree, OwnTypeText) else tree
        if tree is None or annotation is type(tree) is str:
            return tree
        if type(tree) in _NUMBERS:
            return _member_of(annotation, tree)
        if isinstance(tree, Rounded):
            return self._number(annotation, tree, path)
        if schedule_of(tree) is not None or isinstance(tree, str):
            return self._text(annotation, tree, path, steps)
        if is_struct_value(tree):
            return tree
        structs = structs_for(annotation, tree)
        if structs:
            return self._of_one(annotation, structs, tree, path, steps)
        if is_dict(tree) and (mapping := mapping_in(annotation)) is not Any:
            return self._dict(mapping, tree, path, steps)
        if is_items(tree) and (sequence := sequence_in(annotation)) is not Any:
            return self._items(sequence, tree, path, steps)
        return bare(tree)

    def _number(
        self, annotation: object, number: Rounded, path: str
    ) -> float | Decimal:
        """Return ``number`` as its digits if they matter, and refuse it for an int."""
        kinds = members(annotation)
        if Decimal in kinds and float not in kinds:
            with suppress(InvalidOperation):  # its exponent is out of range
                return Decimal(number.digits)
        is_whole = any(isinstance(k, type) and issubclass(k, int) for k in kinds)
        if is_whole and float not in kinds and number.is_integer():
            message = (
                f"{number.digits:.40} has no exact float; the nearest is {number:.0f}. "
                "Write a whole number without a point or an exponent"
            )
            self.problems.append(Problem(path, message))
            return float(number)
        try:
            return number.nearest()
        except BeyondFloatError as error:
            self.problems.append(Problem(path, error.message))
            return float(number)

    def _items(
        self,
        annotation: object,
        tree: list[object] | tuple[object, ...],
        path: str,
        steps: tuple[Step, ...],
    ) -> object:
        n_schedules = len(self.schedules)
        items = [
            self.value(item_type(annotation, i), item, child(path, i), (*steps, i))
            for i, item in enumerate(tree)
        ]
        if is_set(annotation) and len(self.schedules) > n_schedules:
            # A schedule is restored at its path, and an item of a set has none.
            del self.schedules[n_schedules:]
            message = (
                "a schedule cannot be in a set; use a list, whose items are ordered"
            )
            self.problems.append(Problem(path, message))
        return items if isinstance(tree, list) else tuple(items)

    def _struct(
        self, cls: type, tree: object, path: str, steps: tuple[Step, ...]
    ) -> dict[str, object]:
        values: Mapping[Any, Any] = tree if is_dict(tree) else {}
        fields, extra = fields_of(cls), extra_of(cls)
        ignored = self.ignore_extra or extra == "ignore"
        fields_by_name = {name: f for f in fields.values() for name in f.names}
        prepared: dict[str, object] = {}
        for name, item in values.items():
            if name in fields_by_name:
                self._field(fields_by_name[name], name, item, path, steps, prepared)
            elif extra == "allow":
                prepared[name] = bare(item)
            elif name not in computed_of(cls) and not ignored:
                self._unknown(cls, name, path, fields_by_name)
        for f in fields.values():
            if not f.has_default and not f.names & values.keys():
                self._absent(f, path, steps, prepared)
        return prepared

    def _of_one(
        self,
        annotation: object,
        structs: list[type],
        tree: object,
        path: str,
        steps: tuple[Step, ...],
    ) -> object:
        """Return ``tree`` for that one of ``structs`` that accepts its values."""
        # Without a choice, the file may be older than the name of the class.
        choice = is_choice(annotation)
        misnamed = name_problem(annotation, tree, path) if choice else None
        if misnamed is not None:
            self.problems.append(misnamed)
            return tree
        if len(structs) > 1:
            trials = [self._trial(cls, tree, path, steps) for cls in structs]
            successes = [trial for trial in trials if trial is not None]
            if successes:
                prepared, trial = successes[0]
                self.schedules.extend(trial.schedules)
                # If several accept them, pydantic knows which one fits best.
                kinds = [c for c, t in zip(structs, trials, strict=True) if t]
                return check(Union[tuple(kinds)], prepared)  # noqa: UP007
        prepared = self._struct(structs[0], tree, path, steps)
        is_certain = isinstance(tree, NamedStruct) and tree.name == structs[0].__name__
        return self._chosen(annotation, structs[0], prepared, path, is_certain)

    def _trial(
        self, cls: type, tree: object, path: str, steps: tuple[Step, ...]
    ) -> "tuple[dict[str, Any], Preparation] | None":
        """Return ``tree`` prepared for ``cls``, None if ``cls`` refuses it."""
        trial = Preparation(ignore_extra=self.ignore_extra, ctx=self.ctx)
        prepared = trial._struct(cls, tree, path, steps)
        if trial.problems:
            return None
        try:
            check(cls, prepared)
        except ConfigError:
            return None
        return prepared, trial

    def _chosen(
        self,
        annotation: object,
        cls: type,
        prepared: dict[str, object],
        path: str,
        is_certain: bool,
    ) -> object:
        """Return an instance if the tree can only become ``cls``, else the tree.

        Besides classes the union may contain a dict of any keys: then, unless the file
        names the class, pydantic decides.
        """
        is_dict_too = is_certain and mapping_in(annotation) is not Any
        if not is_choice(annotation) and not is_dict_too:
            return prepared
        try:
            return check(cls, prepared)
        except ConfigError as error:
            problems = [
                Problem(path_below(path, p.path), p.message, p.kind)
                for p in error.problems
            ]
            self.problems.extend(problems)
            return prepared

    def _field(
        self,
        f: ClassField,
        name: str,
        item: object,
        path: str,
        steps: tuple[Step, ...],
        prepared: dict[str, object],
    ) -> None:
        if isinstance(item, Weak):
            item = _resolve(f, item, child(path, f.name))
            if item is None:
                return
        below, n_schedules = child(path, f.name), len(self.schedules)
        prepared[name] = self.value(f.annotation, item, below, (*steps, f.name))
        if not f.is_stored and len(self.schedules) > n_schedules:
            del self.schedules[n_schedules:]
            self.problems.append(Problem(below, "an InitVar cannot be scheduled"))

    def _absent(
        self,
        f: ClassField,
        path: str,
        steps: tuple[Step, ...],
        prepared: dict[str, object],
    ) -> None:
        """Build an omitted struct from its own defaults."""
        structs = structs_in(f.annotation)
        if len(structs) == 1 and not allows_none(f.annotation):
            self._field(f, f.name, {}, path, steps, prepared)

    def _unknown(
        self, cls: type, name: object, path: str, fields: Mapping[str, object]
    ) -> None:
        # Finding the most similar name takes time, and many hints do not help.
        is_long = len(self.problems) >= MAX_SHOWN
        hint = ""
        if not is_long:
            hint = did_you_mean(str(name), fields) or _OF_HYDRA.get(name, "")
            hint = hint or _list_of(fields)
        message = f"unknown field for {cls.__name__}.{hint}"
        self.problems.append(Problem(child(path, str(name)), message))

    def _dict(
        self,
        annotation: object,
        tree: dict[object, object],
        path: str,
        steps: tuple[Step, ...],
    ) -> dict[object, object]:
        keys = key_type(annotation)
        if keys not in (str, Any):
            self._check_keys(keys, tree, path)
        for key in self._unknown_keys(annotation, tree, path):
            tree = {name: item for name, item in tree.items() if name != key}
        positions = _positions(annotation, tree)
        return {
            self._key(keys, key, path): self.value(
                item_type(annotation, key), item, child(path, key), (*steps, i)
            )
            for i, (key, item) in zip(positions, tree.items(), strict=True)
        }

    def _unknown_keys(
        self, annotation: object, tree: dict[object, object], path: str
    ) -> list[object]:
        """Return the keys that a ``TypedDict`` does not have, and record them."""
        kinds = [class_of(member) for member in members(annotation)]
        if not all(map(is_closed, kinds)):
            return []
        types_by_key: dict[str, object] = {}
        for member in members(annotation):
            types_by_key |= typed_keys(member) or {}
        unknown = [key for key in tree if key not in types_by_key]
        for key in unknown if not self.ignore_extra else ():
            self._unknown(kinds[0], key, path, types_by_key)
        return unknown

    def _key(self, keys: object, key: object, path: str) -> object:
        if isinstance(key, Rounded):
            return self._number(keys, key, child(path, key))
        return _word(keys, key)

    def _check_keys(self, keys: object, tree: dict[object, object], path: str) -> None:
        """Record distinct keys that are equal to the class, such as "01" and "1"."""
        keys_by_value: dict[object, object] = {}
        for key in tree:
            try:
                value = check(keys, _word(keys, key))
                earlier_key = keys_by_value.setdefault(value, key)
            except (ConfigError, TypeError):
                continue  # pydantic reports what is wrong with it
            if earlier_key is not key:
                message = (
                    f"key {short_repr(key)} is {short_repr(earlier_key)} written "
                    "differently"
                )
                self.problems.append(Problem(path, message))

    def _text(
        self, annotation: object, text: Any, path: str, steps: tuple[Step, ...]
    ) -> object:
        schedule = schedule_of(text)
        if schedule is None:
            struct = struct_for(annotation, text)
            if struct is not None and not _takes_text(annotation, text):
                prepared = self._struct(struct, {}, path, steps)
                return self._chosen(annotation, struct, prepared, path, True)
            if not _may_be_scheduled(annotation, text):
                return _word(annotation, text)
            try:
                schedule = Schedule.parse(str(text))
            except ValueError as error:
                self.problems.append(Problem(path, str(error)))
                return 0
        kind = float if float in members(annotation) else int
        self.schedules.append(SchedulePlace(steps, schedule, kind))
        # A number that already follows its schedule is left in place.
        now = text if isinstance(text, int | float) else start_of(schedule)
        return as_kind(schedule, kind, now)


def _positions(annotation: object, tree: dict[object, object]) -> Sequence[int]:
    """Return the index of each item: declared keys come in the order of the class.

    A named tuple has all of them, and a typed dict those that are in the file.
    """
    declared: Collection[object] = typed_keys(annotation) or ()
    if not declared:
        return range(len(tree))
    if item_types(annotation) is None:
        declared = [key for key in declared if key in tree]
    order = [*declared, *(key for key in tree if key not in declared)]
    return [order.index(key) for key in tree]


def _takes_text(annotation: object, text: str) -> bool:
    return any(m in _TAKES_TEXT or text in literals(m) for m in members(annotation))


def _may_be_scheduled(annotation: object, text: str) -> bool:
    kinds = members(annotation)
    numeric = int in kinds or float in kinds
    return numeric and not _takes_text(annotation, text) and looks_scheduled(text)


def _word(annotation: object, word: object) -> object:
    """Return the enum's member for ``word``, by value or by name, else a str."""
    if not isinstance(word, str):
        return word
    for member in members(annotation):
        choices = literals(member)
        for value in choices:
            # Files hold the value of a member, and bytes as text.
            if isinstance(value, enum.Enum | bytes) and encode(value) == word:
                return value
        if word not in choices:
            for value in choices:
                if isinstance(value, enum.Enum) and value.name == word:
                    return value
        if isinstance(member, type) and issubclass(member, enum.Enum):
            by_value = [m for m in member if m.value == word]
            by_name = member.__members__.get(word)
            if by_value or by_name is not None:
                return by_value[0] if by_value else by_name
    return str(word)


def _member_of(annotation: object, number: object) -> object:
    """Return the member of a ``Literal`` with the value ``number``, else the number."""
    if isinstance(annotation, type):
        return number
    kinds = members(annotation)
    values = [value for kind in kinds for value in literals(kind)]
    chosen = [
        v for v in values if isinstance(v, enum.Enum) and _is_one(number, v.value)
    ]
    is_number = any(kind is each for kind in kinds for each in _NUMBERS)
    is_itself = any(_is_one(number, value) for value in values)
    return chosen[0] if chosen and not (is_number or is_itself) else number


def _is_one(number: object, value: object) -> bool:
    return type(number) is type(value) and number == value


def _resolve(f: ClassField, weak: Weak, path: str) -> dict[str, object] | None:
    """Return an omitted struct with the old defaults of its fields."""
    default = f.make_default() if f.has_default else None
    if is_struct_value(default):
        check_declared_classes(f.annotation, default, path)
        tree = upgrade(f.annotation, encode(default))
        return _with_old(type(default), default, tree, weak)
    return None if f.has_default or allows_none(f.annotation) else weak


def _with_old(
    cls: type, default: object, tree: dict[str, Any], weak: Weak
) -> dict[str, Any]:
    """Return the default with old values where it does not differ from its class."""
    for name, old_value in weak.items():
        f = fields_of(cls).get(name)
        if f is None or not f.is_stored:
            tree[name] = old_value
            continue
        value = getattr(default, f.attribute)
        if isinstance(old_value, Weak) and is_struct_value(value):
            tree[name] = _with_old(type(value), value, tree[name], old_value)
        elif is_default(f, value):
            tree[name] = old_value
    return tree


_OF_HYDRA: dict[object, str] = {
    "defaults": (
        " Only Hydra reads this key: compose the file with Hydra, and pass the "
        "config that it returns instead of the file."
    ),
    "_target_": (
        " A file cannot import a class: where a field takes several classes, as "
        "in 'optimizer: Adam | Lion', the file says which one by its name."
    ),
}
"""Remedies for keys that have a meaning in files of Hydra."""


def _list_of(names: Mapping[str, object]) -> str:
    return f" Its fields are: {first_names(names, 12)}."
