"""Checks that arguments in a config fit the class that they are for."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any, TypeGuard

from ...config.errors import Problem
from ...config.short_text import quantity, short_repr
from ...config.spelling import did_you_mean
from ...optim.simple import SimpleOptimizer


def argument_problems(cls: Any, kwargs: Mapping[str, Any]) -> list[Problem]:
    """Return unknown and missing arguments in ``kwargs`` of an optimizer or scheduler.

    A string where the default is a number is a problem too. A class that accepts any
    name, or does not declare its arguments, has none.
    """
    arguments = _arguments(cls)
    if arguments is None:
        return []
    unknown = [
        Problem(name, _unknown(cls, name, [*arguments]))
        for name in kwargs
        if name not in arguments
    ]
    missing = [
        Problem(name, f"missing: {cls.__name__} requires it")
        for name, parameter in arguments.items()
        if name not in kwargs and _is_needed(parameter)
    ]
    defaults = {name: parameter.default for name, parameter in arguments.items()}
    return unknown + missing + _unlike_defaults(kwargs, defaults)


def configurable_arguments(cls: Any) -> list[str]:
    """Return the arguments that a config may have for ``cls``; none if any is valid."""
    return [*(_arguments(cls) or ())]


def _arguments(cls: Any) -> dict[str, Parameter] | None:
    """Return a config's possible arguments for ``cls``; None if any name is valid."""
    try:
        parameters = [*signature(cls).parameters.values()]
    except (TypeError, ValueError):
        return None
    if any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        return None
    if isinstance(cls, type) and issubclass(cls, SimpleOptimizer):
        # `bind` gets the rate, besides the module.
        parameters.append(Parameter("lr", Parameter.KEYWORD_ONLY, default=0.0))
    else:
        # All others start with what they optimize, or schedule.
        del parameters[0]
    return {parameter.name: parameter for parameter in parameters}


def is_number(value: object) -> bool:
    """Return whether ``value`` is a number, but not a bool."""
    return type(value) in (int, float)


def are_numbers(value: object) -> TypeGuard[tuple[float, ...]]:
    """Return whether ``value`` is a tuple of numbers."""
    return isinstance(value, tuple) and bool(value) and all(map(is_number, value))


def _unlike_defaults(
    kwargs: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[Problem]:
    """Return which arguments are strings where the default has numbers.

    Other values may be intended: None, a bool, a tensor.
    """
    problems: list[Problem] = []
    for name, value in kwargs.items():
        default = defaults.get(name)
        texts = isinstance(value, str), _holds_text(value)
        if is_number(default) and texts[0]:
            problems.append(Problem(name, f"expected a number, found {value!r}"))
        elif are_numbers(default) and any(texts):
            expected = f"expected {quantity(len(default), 'number')}"
            problems.append(Problem(name, f"{expected}, found {short_repr(value)}"))
    return problems


def _holds_text(value: object) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(v, str) for v in value)


def _is_needed(parameter: Parameter) -> bool:
    return (
        parameter.default is Parameter.empty
        and parameter.kind is not Parameter.VAR_POSITIONAL
    )


def _unknown(cls: Any, name: str, allowed: list[str]) -> str:
    hint = did_you_mean(name, allowed)
    return f"{cls.__name__} has no such argument.{hint} It has {', '.join(allowed)}"
