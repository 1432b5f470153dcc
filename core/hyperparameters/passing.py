"""Arguments of a call, laid over the hyperparameters that a file stores."""

import inspect
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from torch import nn

from ..errors import HyperparameterError
from ..modules.class_identity import is_of_a_parent, is_same_class
from ..modules.shown import shown
from ..modules.signature import parameters_of
from ..modules.versions import version_of
from . import plain
from .hparams_plan import Passed
from .known_arguments import builder_of
from .unstored import ALL, DEFAULTS, UNSTORED
from .upgrade import upgraded_node


def arguments_by_name(
    cls: type[nn.Module], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a call of ``cls`` passes; nothing if ``cls`` takes no such call."""
    signature = inspect.Signature([*parameters_of(cls).values()])
    try:
        return signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        return {}


def laid_over(
    stored: Mapping[str, Any], cls: type[nn.Module], arguments: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return ``stored`` with ``arguments`` in the place of its own.

    Stored arguments that ``cls`` does not take any more are left out. None if they are
    those of another class, or if the names of the arguments are not known.
    """
    if not (is_same_class(stored, cls) or is_of_a_parent(stored, cls)):
        return None
    node = upgraded_node(cls, stored, "")
    is_unknown = ALL in _mapping(node, UNSTORED)
    if is_unknown or not _are_names_known(node, cls, arguments):
        return None
    known = {
        name: value
        for name, value in node.items()
        if name in parameters_of(cls) or name in plain.OWN or plain.is_child(value)
    }
    notes: dict[str, Any] = {
        key: {k: v for k, v in _mapping(node, key).items() if k not in arguments}
        for key in (UNSTORED, DEFAULTS, plain.CONTAINERS, plain.KINDS)
    }
    if version_of(cls):
        notes[plain.VERSION] = version_of(cls)
    return {**known, **notes, **_passed(known, cls, arguments)}


def _passed(
    node: Mapping[str, Any], cls: type[nn.Module], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    passed: dict[str, Any] = {}
    for name, value in arguments.items():
        if parameters_of(cls)[name].kind is Parameter.VAR_KEYWORD:
            more = {key: Passed(f"{name}.{key}", item) for key, item in value.items()}
            passed[name] = {**_mapping(node, name), **more}
        else:
            passed[name] = Passed(name, value)
    return passed


def _are_names_known(
    node: Mapping[str, Any], cls: type[nn.Module], arguments: Mapping[str, Any]
) -> bool:
    """Return whether ``arguments`` are told apart from the stored ones by name.

    What stands in ``*args`` may be any parameter of a parent's constructor.
    """
    if builder_of(cls) is not None:
        return False
    kinds = {name: parameters_of(cls)[name].kind for name in arguments}
    variadic = [
        name
        for name, parameter in parameters_of(cls).items()
        if parameter.kind is Parameter.VAR_POSITIONAL
    ]
    if any(name in arguments for name in variadic):
        return False
    is_by_position = any(node.get(name) for name in variadic)
    return not (is_by_position and Parameter.VAR_KEYWORD in kinds.values())


def _mapping(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value: Any = node.get(key, {})
    if not isinstance(value, Mapping):
        raise HyperparameterError(key, f"expected a dict, found {shown(value)}")
    return value  # pyright: ignore[reportUnknownVariableType]  # data
