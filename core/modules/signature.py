"""The parameters of the constructor of a module class."""

import inspect
import types
from collections.abc import Mapping
from contextlib import suppress
from inspect import Parameter
from typing import Any

from torch import nn

from .classes import by_class

VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@by_class
def parameters_of(cls: type[nn.Module]) -> Mapping[str, Parameter]:
    """Return the parameters of ``cls.__init__`` without ``self``, by name.

    For torch's recurrent layers their ``*args, **kwargs`` are resolved.
    """
    # Their constructors accept whatever RNNBase does, and do not declare it.
    recurrent = _RECURRENT.get(cls.__init__)
    if recurrent is not None:
        return types.MappingProxyType(_of_recurrent(*recurrent))
    signature = inspect.signature(cls.__init__)
    _, *parameters = signature.parameters.values()
    return types.MappingProxyType({p.name: p for p in parameters})


def takes_any_name(cls: type[nn.Module]) -> bool:
    """Return whether ``cls`` accepts ``**kwargs``."""
    return Parameter.VAR_KEYWORD in variadic_of(cls)


def variadic_of(cls: type[nn.Module]) -> dict[object, str]:
    """Return the names of the ``*args`` and ``**kwargs`` of ``cls``, by kind."""
    parameters = parameters_of(cls).values()
    return {p.kind: p.name for p in parameters if p.kind in VARIADIC}


def call(cls: type[nn.Module], arguments: Mapping[str, object]) -> nn.Module:
    """Return ``cls`` called with ``arguments``, of which variadic ones are one each."""
    args, kwargs = call_arguments(cls, arguments)
    if not _take(_receivers(cls), args, kwargs):
        name = cls.__qualname__
        raise TypeError(
            f"__new__ of {name}, or its metaclass, takes different arguments "
            "than __init__. Register how to build one: "
            f"burnish.register_hparams({name}, getter, build=...); or pass a "
            "function that builds it: burnish.from_record(factory, file)."
        )
    return cls(*args, **kwargs)


def call_arguments(
    cls: type[nn.Module], arguments: Mapping[str, object]
) -> tuple[list[Any], dict[str, Any]]:
    """Return ``arguments`` as a call of ``cls`` takes them: by name where possible.

    A ``__new__`` of the class, which gets the same arguments, may accept them by
    position alone, or under other names.
    """
    args, kwargs = _laid_out(cls, arguments, 0)
    receivers = _receivers(cls)
    if receivers and not _take(receivers, args, kwargs):
        for n_positional in range(1, len(parameters_of(cls)) + 1):
            try:
                by_position, by_name = _laid_out(cls, arguments, n_positional)
            except TypeError:
                break  # an argument before it is missing
            if _take(receivers, by_position, by_name):
                return by_position, by_name
    return args, kwargs


def _laid_out(
    cls: type[nn.Module], arguments: Mapping[str, Any], n_positional: int
) -> tuple[list[Any], dict[str, Any]]:
    """Return positional arguments, at least the first ``n_positional``, and others."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    parameters = parameters_of(cls)
    by_position = any(
        p.kind is Parameter.VAR_POSITIONAL and arguments.get(p.name)
        for p in parameters.values()
    )
    for i, (name, parameter) in enumerate(parameters.items()):
        is_early = i < n_positional and parameter.kind is not Parameter.KEYWORD_ONLY
        if parameter.kind is Parameter.VAR_POSITIONAL:
            args += arguments.get(name, ())
            # After *args all others can only be passed by name.
            by_position, n_positional = False, 0
        elif parameter.kind is Parameter.VAR_KEYWORD:
            kwargs |= arguments.get(name, {})
        elif parameter.kind is Parameter.POSITIONAL_ONLY or by_position or is_early:
            args += _positional(cls, parameter, arguments)
        elif name in arguments:
            kwargs[name] = arguments[name]
    return args, kwargs


@by_class
def _receivers(cls: type[nn.Module]) -> tuple[inspect.Signature, ...]:
    """Return what besides the constructor is called with its arguments."""
    # Python passes the arguments to both, whose parameters may be declared differently.
    calls: list[tuple[Any, Any]] = [
        (type(cls).__call__, type.__call__),
        (cls.__new__, object.__new__),
    ]
    signatures: list[inspect.Signature] = []
    for function, usual in calls:
        if function is not usual:
            with suppress(TypeError, ValueError):  # a function in C without a signature
                signatures.append(inspect.signature(function))
    return tuple(signatures)


def _take(
    receivers: tuple[inspect.Signature, ...], args: list[Any], kwargs: dict[str, Any]
) -> bool:
    try:
        for signature in receivers:
            signature.bind(None, *args, **kwargs)
    except TypeError:
        return False
    return True


def _positional(
    cls: type[nn.Module], parameter: Parameter, arguments: Mapping[str, object]
) -> list[Any]:
    if parameter.name in arguments:
        return [arguments[parameter.name]]
    if parameter.default is not Parameter.empty:
        return [parameter.default]
    raise TypeError(f"{cls.__qualname__} needs the argument {parameter.name!r}")


def _of_recurrent(
    left_out: frozenset[str], more: dict[str, str]
) -> dict[str, Parameter]:
    _, *parameters = inspect.signature(nn.RNNBase.__init__).parameters.values()
    parameters_by_name = {p.name: p for p in parameters if p.name not in left_out}
    for name, default in more.items():
        parameters_by_name[name] = Parameter(
            name, Parameter.KEYWORD_ONLY, default=default
        )
    return parameters_by_name


_RECURRENT: dict[Any, tuple[frozenset[str], dict[str, str]]] = {
    nn.RNN.__init__: (frozenset({"mode", "proj_size"}), {"nonlinearity": "tanh"}),
    nn.LSTM.__init__: (frozenset({"mode"}), {}),
    nn.GRU.__init__: (frozenset({"mode", "proj_size"}), {}),
}
