"""Checks that hyperparameters are arguments of the class, and complete."""

from collections.abc import Mapping
from inspect import Parameter

from torch import nn

from ...config.path import join
from ...config.short_text import short_repr
from ...config.spelling import did_you_mean
from ..errors import HyperparameterError
from ..modules.classes import declaration
from ..modules.registry import Node
from ..modules.signature import VARIADIC, parameters_of, takes_any_name
from .declared import computed_fields
from .descriptions import named_default
from .hparams_node import ALL, DEFAULTS, RESERVED, UNSTORED, dict_at, is_child


def check_no_argument(cls: type[nn.Module], node: Node, name: str, path: str) -> None:
    """Refuse an entry that is neither an argument nor built by the constructor."""
    if name in RESERVED or is_child(node.get(name, "")):
        return
    if _is_computed(cls, node, name, path):
        return
    parameters = parameters_of(cls)
    hint = did_you_mean(name[:80], parameters) if isinstance(name, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance]  # files say anything
    takes = ", ".join(parameters) or "nothing"
    declared = declaration(cls, "version=..., upgrade_rules=...")
    raise HyperparameterError(
        join(path, f"{name!s:.60}"),
        f"{cls.__qualname__} takes no such argument.{hint} It takes: {takes}. If "
        f"it used to be an argument, add a rule to {declared}: RenameField or "
        "DeleteField.",
    )


def _is_computed(cls: type[nn.Module], node: Node, name: str, path: str) -> bool:
    computed = computed_fields(cls, node)
    if name not in computed:
        return False
    if computed[name] != node[name]:
        raise HyperparameterError(
            join(path, name),
            f"is computed as {short_repr(computed[name])}, found "
            f"{short_repr(node[name])}",
        )
    return True


def check_stored(cls: type[nn.Module], node: Node, path: str) -> None:
    """Raise for arguments that the class accepts, but no file can hold."""
    name = cls.__qualname__
    for argument, description in dict_at(node, UNSTORED, path).items():
        if argument == ALL:
            raise HyperparameterError(
                path,
                f"the arguments of this {name} are not stored: it {description!s:.300}",
            )
        if argument in parameters_of(cls) or takes_any_name(cls):
            raise HyperparameterError(
                join(path, f"{argument!s:.60}"),
                f"the argument of this {name} could not be stored: "
                f"{description!s:.200}",
            )


def check_defaults(cls: type[nn.Module], node: Node, path: str) -> None:
    """Raise for a default that no file holds, and that has changed since."""
    for name, stored_default in dict_at(node, DEFAULTS, path).items():
        parameter = parameters_of(cls).get(name)
        if parameter is None or name in node or parameter.default is Parameter.empty:
            continue
        default = named_default(parameter.default) or short_repr(parameter.default)
        if default != stored_default:
            raise HyperparameterError(
                join(path, f"{name!s:.60}"),
                f"this {cls.__qualname__} was built with its default, which was "
                f"{stored_default!s:.200} and is now {default:.200}, and a file "
                "cannot hold such a value",
            )


def check_complete(
    cls: type[nn.Module], arguments: Mapping[str, object], path: str
) -> None:
    """Raise for a missing argument without a default."""
    missing = [
        name
        for name, parameter in parameters_of(cls).items()
        if parameter.default is Parameter.empty
        and parameter.kind not in VARIADIC
        and name not in arguments
    ]
    if missing:
        raise HyperparameterError(
            join(path, missing[0]), f"{cls.__qualname__} needs this argument"
        )
