"""Typed hyperparameters: a validated pydantic model that is also a mapping."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from itertools import chain
from typing import Any, Self, Unpack, cast, overload

from pydantic import BaseModel, ConfigDict, ValidationError

from .classes.field_aliases import HparamsMeta
from .classes.field_types import Ctx
from .classes.fields import extra_of, fields_of
from .classes.hparam import Hparam
from .classes.pydantic_internals import (
    extra_values,
    keep_fast_construction,
    unchanged_if_it_raises,
    validator_of_model,
)
from .encode import encode, to_plain, without_names
from .files import DumpOptions, dump, dumps, load, loads
from .html import folded_html
from .schedule.number import ScheduledFloat, ScheduledInt
from .spelling import did_you_mean
from .tree import is_dict, is_mapping_value
from .validation.normalize import Preparation, SchedulePlace
from .validation.readback import check_read_back, first_misread
from .validation.validate import put_back

__all__ = ["Hparam", "Hparams", "define_hparams"]

_SPECIAL = (str, ScheduledFloat, ScheduledInt)

_ASSIGNED: ContextVar[frozenset[int]] = ContextVar("_ASSIGNED", default=frozenset())
"""The ids of the objects that are in the middle of an assignment."""


class Hparams(BaseModel, Mapping[str, Any], metaclass=HparamsMeta):
    """Base of hyperparameter classes: annotate the fields, and give defaults.

    Values are validated on construction and assignment, and unknown fields are refused.
    An instance is a mapping from field names to values: ``Net(**hparams)``.
    """

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, protected_namespaces=()
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            validator_of_model(self).validate_python(values, self_instance=self)
        except ValidationError:
            if not self._fill_scheduled(values):
                raise
        else:
            if any(map(_may_carry, values.values())):
                self._fill_scheduled(values)

    keep_fast_construction(__init__)

    def _repr_html_(self) -> str:
        fields = [f"{name}: {value!r}" for name, value in self.items()]
        return folded_html("\n".join([type(self).__qualname__, *fields]))

    @classmethod
    def load(
        cls,
        file: str | os.PathLike[str],
        overrides: Iterable[str] = (),
        ignore_extra: bool = False,
        *,
        key: str | None = None,
        ctx: Ctx | None = None,
    ) -> Self:
        """Return the hyperparameters in ``file``, or in the part of it at ``key``.

        The suffix determines the format: ``.json``, ``.yaml``, ``.yml`` or ``.ron``.
        The arguments are those of `burnish.config.load`.
        """
        return load(cls, file, overrides, ignore_extra, key=key, ctx=ctx)

    @classmethod
    def loads(cls, text: str, format: str = "ron", *, ctx: Ctx | None = None) -> Self:
        """Return the hyperparameters in ``text``."""
        return loads(cls, text, format, ctx=ctx)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the hyperparameters in a dict, nested ones as dicts or objects."""
        return load(cls, values)

    @classmethod
    def from_json(cls, file: str | os.PathLike[str], key: str | None = None) -> Self:
        """Return the hyperparameters in a JSON file."""
        return load(cls, file, key=key)

    @classmethod
    def from_yaml(cls, file: str | os.PathLike[str], key: str | None = None) -> Self:
        """Return the hyperparameters in a YAML file, or in its part at ``key``."""
        return load(cls, file, key=key)

    @classmethod
    def from_ron(cls, file: str | os.PathLike[str], key: str | None = None) -> Self:
        """Return the hyperparameters in a RON file."""
        return load(cls, file, key=key)

    @classmethod
    def from_config(
        cls, config: Any, key: str | None = None, *, ignore_extra: bool = False
    ) -> Self:
        """Return the hyperparameters in OmegaConf's ``config``, resolved.

        With ``ignore_extra`` the config may contain keys that are not fields.
        """
        return load(cls, config, ignore_extra=ignore_extra, key=key)

    def to_dict(self, *, computed: bool = False) -> dict[str, Any]:
        """Return a JSON-ready dict that `from_dict` turns into an equal object.

        With ``computed`` it includes the computed fields. Raises ConfigError, with its
        path, for a value that would be read as a different one; in a field of type Any
        a tuple becomes a list.
        """
        tree = encode(self)
        check_read_back(self, without_names(tree))
        values: dict[str, object] = to_plain(tree)
        return values | to_plain(_computed_fields(self, values)) if computed else values

    @overload
    def dump(self, file: None = None, **options: Unpack[DumpOptions]) -> str: ...

    @overload
    def dump(
        self, file: str | os.PathLike[str], **options: Unpack[DumpOptions]
    ) -> None: ...

    def dump(
        self,
        file: str | os.PathLike[str] | None = None,
        **options: Unpack[DumpOptions],
    ) -> str | None:
        """Write to ``file`` in the format of its suffix; without one return the text.

        The options are those of `burnish.config.dump`.
        """
        return dump(self, file, **options)

    def dumps(
        self,
        format: str = "ron",
        *,
        elide_defaults: bool = False,
        ctx: Ctx | None = None,
    ) -> str:
        """Return RON, JSON or YAML text."""
        return dumps(self, format, elide_defaults=elide_defaults, ctx=ctx)

    def __getitem__(self, name: str) -> Any:
        field = fields_of(type(self)).get(name) if isinstance(name, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        if field is None and name in extra_values(self):
            return extra_values(self)[name]
        if field is None:
            hint = did_you_mean(str(name), self)
            raise KeyError(f"{type(self).__name__} has no field {name!r}.{hint}")
        return getattr(self, field.attribute)

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # names, as mappings
        return chain(fields_of(type(self)), extra_values(self))

    def __len__(self) -> int:
        return len(fields_of(type(self))) + len(extra_values(self))

    def __contains__(self, name: object) -> bool:
        return name in fields_of(type(self)) or name in extra_values(self)

    def __eq__(self, value: object) -> bool:
        if is_mapping_value(value) and not isinstance(value, BaseModel):
            return dict(self.items()) == dict(value.items())
        return super().__eq__(value)

    def __setattr__(self, name: str, value: object) -> None:
        within = _ASSIGNED.get()
        if id(self) in within and self._holds(name, value):
            # A validator of the whole model that assigns a field runs on assignment
            # itself, and would recurse without end.
            return
        token = _ASSIGNED.set(within | {id(self)})
        try:
            with unchanged_if_it_raises(self):
                self._assign(name, value)
        finally:
            _ASSIGNED.reset(token)

    def _holds(self, name: str, value: object) -> bool:
        """Return whether the field ``name`` already has ``value``, once converted."""
        for field in fields_of(type(self)).values():
            if name in (field.name, field.attribute):
                current_value = getattr(self, field.attribute)
                return first_misread(field.annotation, value, current_value, "") is None
        return False

    def _assign(self, name: str, value: object) -> None:
        field = fields_of(type(self)).get(name)
        attribute = name if field is None else field.attribute
        if field is None or not isinstance(value, _SPECIAL):
            super().__setattr__(attribute, value)
            return
        preparation = Preparation()
        prepared = preparation.value(field.annotation, value, name, (name,))
        if preparation.schedules and not preparation.problems:
            super().__setattr__(attribute, prepared)
            put_back(self, preparation.schedules)
        else:
            super().__setattr__(attribute, value)

    def model_copy(
        self, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> Self:
        """Return a copy with the values in ``update``, which are not validated.

        Raises ValueError for a name that is not a field.
        """
        fields = fields_of(type(self))
        attributes = {field.attribute for field in fields.values()}
        is_open = extra_of(type(self)) == "allow"
        values: dict[str, Any] = {}
        for name, value in (update or {}).items():
            if not (name in fields or name in attributes or is_open):
                hint = did_you_mean(name, self)
                raise ValueError(f"{type(self).__name__} has no field {name!r}.{hint}")
            values[fields[name].attribute if name in fields else name] = value
        return super().model_copy(update=values, deep=deep)

    def __repr_args__(self) -> Any:
        names = {f.attribute: f.name for f in fields_of(type(self)).values()}
        for attribute, value in super().__repr_args__():
            yield names.get(attribute or "", attribute), value

    def _fill_scheduled(self, values: Mapping[str, object]) -> bool:
        """Fill this object from ``values``; return False if no schedule is in them."""
        preparation = Preparation()
        prepared = preparation.value(type(self), values)
        places: list[SchedulePlace] = preparation.schedules
        if not places or preparation.problems:
            return False
        validator_of_model(self).validate_python(prepared, self_instance=self)
        put_back(self, places)
        return True


def define_hparams(
    name: str,
    fields: Mapping[str, tuple[Any, Any]],
    *,
    base: type[Hparams] = Hparams,
    module: str = __name__,
    doc: str = "",
) -> type[Hparams]:
    """Return a class with ``fields``, each an annotation and a default (``...``: none).

    Any name is allowed, as in a class statement.
    """
    namespace: dict[str, Any] = {"__module__": module, "__qualname__": name}
    namespace["__doc__"] = doc or None
    namespace["__annotations__"] = {n: hint for n, (hint, _) in fields.items()}
    namespace |= {
        n: default for n, (_, default) in fields.items() if default is not ...
    }
    metaclass: Any = type(base)
    return cast(type[Hparams], metaclass(name, (base,), namespace))


def _may_carry(value: object) -> bool:
    """Return whether ``value`` may contain a scheduled number outside of structs."""
    if isinstance(value, dict | list | tuple):
        items = value.values() if is_dict(value) else value
        return any(_may_carry(item) for item in items)
    return isinstance(value, ScheduledFloat | ScheduledInt)


def _computed_fields(hparams: Hparams, values: dict[str, Any]) -> dict[str, Any]:
    """Return the computed fields of ``hparams``, and of nested ones."""
    computed: dict[str, object] = {}
    for name, field in fields_of(type(hparams)).items():
        value = getattr(hparams, field.attribute)
        if isinstance(value, Hparams):
            computed[name] = values[name] | _computed_fields(value, values[name])
    names = type(hparams).model_computed_fields
    return computed | {name: encode(getattr(hparams, name)) for name in names}
