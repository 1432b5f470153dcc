"""Whether arguments of a config fit the class that they are for, by their names."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

from ...config.errors import Problem
from ...config.spelling import did_you_mean
from ...optim.simple import SimpleOptimizer


def argument_problems(cls: Any, kwargs: Mapping[str, Any]) -> list[Problem]:
    """Return what of ``kwargs`` an optimizer or scheduler lacks, and what it misses.

    A class that takes any name, or does not say which it takes, has no problem.
    """
    try:
        parameters = [*signature(cls).parameters.values()]
    except (TypeError, ValueError):
        return []
    if any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        return []
    is_simple = isinstance(cls, type) and issubclass(cls, SimpleOptimizer)
    # All but ours begin with what they optimize, or schedule.
    names = {p.name: p for p in (parameters if is_simple else parameters[1:])}
    allowed = [*names, "lr"] if is_simple else [*names]
    unknown = [
        Problem(name, _unknown(cls, name, allowed))
        for name in kwargs
        if name not in allowed
    ]
    return unknown + [
        Problem(name, f"missing: {cls.__name__} needs it")
        for name, parameter in names.items()
        if name not in kwargs and _is_needed(parameter)
    ]


def _is_needed(parameter: Parameter) -> bool:
    return (
        parameter.default is Parameter.empty
        and parameter.kind is not Parameter.VAR_POSITIONAL
    )


def _unknown(cls: Any, name: str, allowed: list[str]) -> str:
    hint = did_you_mean(name, allowed)
    return f"{cls.__name__} has no such argument.{hint} It has {', '.join(allowed)}"
