"""What the constructor of a module class takes."""

import inspect
import types
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from torch import nn

from .by_class import by_class

VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@by_class
def parameters_of(cls: type[nn.Module]) -> Mapping[str, Parameter]:
    """Return the parameters of ``cls.__init__`` without ``self``, by name.

    Those of torch's recurrent layers are what their ``*args, **kwargs`` stand for.
    """
    recurrent = _RECURRENT.get(cls.__init__)
    if recurrent is not None:
        return types.MappingProxyType(_of_recurrent(*recurrent))
    signature = inspect.signature(cls.__init__)
    _, *parameters = signature.parameters.values()
    return types.MappingProxyType({p.name: p for p in parameters})


def takes_any_name(cls: type[nn.Module]) -> bool:
    """Return whether ``cls`` takes ``**kwargs``."""
    kinds = (p.kind for p in parameters_of(cls).values())
    return Parameter.VAR_KEYWORD in kinds


def call(cls: type[nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
    """Return ``cls`` of ``arguments``, of which the variadic ones come as one each."""
    args, kwargs = spread(cls, arguments)
    return cls(*args, **kwargs)


def spread(
    cls: type[nn.Module], arguments: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return ``arguments`` as a call of ``cls`` takes them."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    parameters = parameters_of(cls)
    by_position = any(
        p.kind is Parameter.VAR_POSITIONAL and arguments.get(p.name)
        for p in parameters.values()
    )
    for name, parameter in parameters.items():
        if parameter.kind is Parameter.VAR_POSITIONAL:
            args += arguments.get(name, ())
            by_position = False
        elif parameter.kind is Parameter.VAR_KEYWORD:
            kwargs |= arguments.get(name, {})
        elif parameter.kind is Parameter.POSITIONAL_ONLY or by_position:
            args += _positional(cls, parameter, arguments)
        elif name in arguments:
            kwargs[name] = arguments[name]
    return args, kwargs


def _positional(
    cls: type[nn.Module], parameter: Parameter, arguments: Mapping[str, Any]
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
    found = {p.name: p for p in parameters if p.name not in left_out}
    for name, default in more.items():
        found[name] = Parameter(name, Parameter.KEYWORD_ONLY, default=default)
    return found


_RECURRENT: dict[Any, tuple[frozenset[str], dict[str, str]]] = {
    nn.RNN.__init__: (frozenset({"mode", "proj_size"}), {"nonlinearity": "tanh"}),
    nn.LSTM.__init__: (frozenset({"mode"}), {}),
    nn.GRU.__init__: (frozenset({"mode", "proj_size"}), {}),
}
