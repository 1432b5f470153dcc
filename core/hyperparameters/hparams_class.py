"""`Net.Hparams`: the typed form of the hyperparameters of a module class.

A class defines its own, or gets one from the signature of its constructor: there
modules are tagged dicts, dtypes and devices strings, and types unknown to pydantic Any.
"""

import functools
import json
import operator
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from typing import Annotated, Any, Self, Union

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from ...config.classes.field_types import Ctx, is_field_type
from ...config.classes.fields import fields_of, is_struct
from ...config.files import load
from ...config.hparams import Hparams, define_hparams
from ...config.process.interrupts import raise_of_signal
from ...config.short_text import short_repr, with_article
from ..errors import HyperparameterError
from ..modules.signature import parameters_of
from .declared import (
    Hint,
    argument_hints,
    declared_type,
    is_constrained,
    list_of,
)
from .hparams_node import RESERVED, is_child
from .writer import Writer


class ModuleHparams(Hparams):
    """Base of the classes from a signature; also reads a module's dict and file."""

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Return the hyperparameters in a dict, also in that of a module."""
        return load(cls, cls._arguments(values))

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
        """Return the hyperparameters in ``file``, also in a module's config.json."""
        values: Any = load(dict[str, Any], file, key=key)
        return load(cls, cls._arguments(values), overrides, ignore_extra, ctx=ctx)

    @classmethod
    def _arguments(cls, values: Any) -> Any:
        """Return ``values`` without keys of a module's dict that are no arguments."""
        fields = fields_of(cls)
        return {
            name: value
            for name, value in values.items()
            if name in fields or not (name in RESERVED or is_child(value))
        }


def hparams_class(cls: type[nn.Module]) -> type[Hparams]:
    """Return a class of hyperparameters with a field for each argument of ``cls``."""
    hints = argument_hints(cls)
    fields = {
        name: _field(cls, parameter, hints[name])
        for name, parameter in parameters_of(cls).items()
    }
    typed_class = define_hparams(
        "Hparams",
        fields,
        base=ModuleHparams,
        module=cls.__module__,
        doc=f"What {with_article(cls.__qualname__)} is made of.",
    )
    typed_class.__qualname__ = f"{cls.__qualname__}.Hparams"
    return typed_class


def checker(cls: type[nn.Module]) -> Callable[[Mapping[str, Any]], None] | None:
    """Return the validator of the arguments of ``cls``, None if none are declared.

    It raises `HyperparameterError` with every problem. An argument that is not plain
    data cannot be validated, and is not.
    """
    typed_class = _checking_class(cls)
    if typed_class is None:
        return None
    adapter, fields = TypeAdapter[Any](typed_class), fields_of(typed_class)

    def check(arguments: Mapping[str, object]) -> None:
        plain_arguments, unchecked = _plain_arguments(cls, arguments, fields)
        # In JSON a string may be a path or an enum, but "3" must not become 3.
        try:
            adapter.validate_json(json.dumps(plain_arguments), strict=True)
        except ValidationError as error:
            problems = _problems(error, unchecked)
            if problems:
                raise HyperparameterError(cls.__qualname__, problems) from None

    return check


def _checking_class(cls: type[nn.Module]) -> Any:
    parameters = parameters_of(cls)
    declared = declared_type(cls)
    if declared is not None:
        is_checkable = (
            is_struct(declared) and fields_of(declared).keys() <= parameters.keys()
        )
        return declared if is_checkable else None
    hints = argument_hints(cls)
    fields = {
        name: _field(cls, parameter, hints[name])
        for name, parameter in parameters.items()
        if is_constrained(hints[name])
    }
    return define_hparams("Hparams", fields, module=cls.__module__) if fields else None


def _plain_arguments(
    cls: type[nn.Module], arguments: Mapping[str, object], fields: Mapping[str, object]
) -> tuple[dict[str, Any], set[str]]:
    """Return the arguments as plain data, and the names of those that are not."""
    hints, parameters = argument_hints(cls), parameters_of(cls)
    plain_arguments: dict[str, Any] = {}
    unchecked: set[str] = set()
    for name in fields:
        # A default is the author's own choice, whatever the annotation.
        if name not in arguments or arguments[name] is parameters[name].default:
            continue
        try:
            plain_arguments[name] = Writer().value(
                arguments[name], hints[name], name, 0
            )
        except (TypeError, HyperparameterError):
            unchecked.add(name)
    return plain_arguments, unchecked


def _problems(validation_error: ValidationError, unchecked: set[str]) -> str:
    problems: list[str] = []
    for error in validation_error.errors(include_url=False, include_context=False):
        where = ".".join(map(str, error["loc"]))
        if not unchecked or (error["loc"] and error["loc"][0] not in unchecked):
            message = str(error["msg"]).removeprefix("Value error, ")
            problems.append(f"{where}: {message}, found {short_repr(error['input'])}")
    return "; ".join(problems)


def _field(cls: type[nn.Module], parameter: Parameter, hint: Hint) -> tuple[Any, Any]:
    """Return the annotation and the default of one argument."""
    annotation: Any = json_hint(hint)
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return list_of(annotation), []
    if parameter.kind is Parameter.VAR_KEYWORD:
        return dict[str, annotation], {}
    if parameter.default is Parameter.empty:
        return annotation, ...
    if parameter.default is None:
        return annotation | None if annotation is not Any else Any, None
    try:
        default = Writer().value(parameter.default, hint, parameter.name, 0)
    except (TypeError, HyperparameterError):
        return Any, parameter.default
    has_another_form = isinstance(parameter.default, torch.dtype | torch.device | type)
    return annotation, default if has_another_form else parameter.default


def json_hint(hint: Any) -> Any:
    """Return the type of values of ``hint`` as plain data."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return Annotated[(json_hint(args[0]), *hint.__metadata__)]
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(json_hint, args))
    if is_field_type(hint):
        return hint
    container: Any = origin
    if origin in (list, tuple, dict, set, frozenset) and args:
        return container[tuple(a if a is ... else json_hint(a) for a in args)]
    if isinstance(hint, type) and issubclass(hint, nn.Sequential | nn.ModuleList):
        return list[dict[str, Any]] | dict[str, Any]
    if isinstance(hint, type) and issubclass(hint, nn.Module):
        return dict[str, Any]
    if hint in (torch.dtype, torch.device):
        return str
    if hint is torch.Size:
        return tuple[int, ...]
    return hint if hint is None or _is_json_type(hint) else Any


def _is_json_type(hint: Any) -> bool:
    """Return whether both pydantic and JSON support values of ``hint``."""
    if hint in (torch.Tensor, type, object) or typing.get_origin(hint) is type:
        return False
    try:
        TypeAdapter(hint).json_schema()
    except Exception as error:
        raise_of_signal(error)
        # An annotation may be anything, and pydantic may raise any error for it.
        return False
    return True
