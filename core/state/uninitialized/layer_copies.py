# pyright: reportPrivateUsage=false
# Unfilled parameters have private parts.
"""Layers of torch that a build creates as copies of an equal layer.

A net has thousands of layers of few kinds. The effect of a constructor of torch's own
layers depends on its arguments and on little else; where all that is equal, the copy
gets the attributes of the first layer, and parameters that wait for the same
initializers.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import copysign
from operator import attrgetter
from types import BuiltinFunctionType
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from ....records.tensors.torch_internals import (
    FANS,
    modes_in_force,
    n_dispatch_modes,
    parameter_hooks_of_all,
)
from .tensor_functions import Function
from .unfilled import UnfilledParameter

Call: TypeAlias = tuple[Function, tuple[Any, ...], dict[str, Any]]
"""An initializer, and its arguments after the tensor."""

LAYERS: tuple[type[nn.Module], ...] = (
    *(nn.Linear, nn.Bilinear, nn.Embedding, nn.EmbeddingBag, nn.PReLU),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""Torch's layers that have parameters and create no other modules."""


class BuildOfLayers(Protocol):
    """The build that the parameters of the copies belong to."""

    def parameter_like(
        self, form: Tensor, requires_grad: bool, calls: Iterable[Call]
    ) -> nn.Parameter:
        """Return a new parameter of the shape and dtype of ``form``, with its calls."""
        raise NotImplementedError


class LayerCopies:
    """The layers constructed in one build, by everything that determines them."""

    def __init__(self) -> None:
        self._templates: dict[object, _Template | None] = {}

    def construct(
        self,
        build: BuildOfLayers,
        layer: nn.Module,
        init: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Do to ``layer``, one of `LAYERS`, what its constructor would do."""
        key = _key(layer, args, kwargs)
        template = None if key is None else self._templates.get(key)
        if template is not None:
            template.fill(layer, build)
            return
        init(layer, *args, **kwargs)
        if key is not None and key not in self._templates:
            self._templates[key] = _template_of(layer, init)

    def clear(self) -> None:
        """Drop all of them."""
        self._templates.clear()


@dataclass(frozen=True, slots=True)
class _Form:
    """What the parameters of one name have in common."""

    like: Tensor
    """A tensor of their shape and dtype, with memory for one element."""
    requires_grad: bool
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class _Template:
    """The effects of a constructor on a layer."""

    values: dict[str, Any]
    """Its attributes; those that are not constants are replaced in each copy."""
    containers: tuple[tuple[str, Callable[[], Any]], ...]
    parameters: tuple[tuple[str, _Form | None], ...]

    def fill(self, layer: nn.Module, build: BuildOfLayers) -> None:
        state = layer.__dict__
        state.update(self.values)
        for name, copy in self.containers:
            state[name] = copy()
        parameters = state["_parameters"]
        for name, form in self.parameters:
            parameters[name] = form and build.parameter_like(
                form.like, form.requires_grad, form.calls
            )


def _key(
    layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[object, ...] | None:
    """Return a key that is equal for equal constructions; None if there is none."""
    # An attribute that is set before the constructor runs may be read there.
    if layer.__dict__:
        return None
    values = (*args, *kwargs.values()) if kwargs else args
    # The types matter: 1 equals True and 1.0, and they differ in repr.
    kinds = tuple(map(type, values))
    if not _CONSTANT.issuperset(kinds):
        return None
    if not _STEADY.issuperset(kinds) and not all(map(_is_steady, values)):
        return None
    cls = type(layer)
    return (
        *(cls, values, kinds, tuple(kwargs), *modes_in_force()),
        *(torch.get_default_dtype(), torch.is_grad_enabled()),
        *(torch.is_inference_mode_enabled(), n_dispatch_modes()),
        *(len(parameter_hooks_of_all), *_functions_of(cls)),
        getattr(_HOMES[cls], "Parameter", None),
    )


def _is_steady(value: Any) -> bool:
    """Return whether equal values of the type of ``value`` are interchangeable."""
    if type(value) is tuple:
        return all(type(item) is int for item in value)
    # As keys 0.0 and -0.0 are equal, but an initializer may distinguish them.
    return type(value) is not float or value != 0 or copysign(1, value) > 0


_CONSTANT = frozenset(
    {int, bool, float, str, tuple, type(None), torch.dtype, torch.device}
)


_STEADY = _CONSTANT - {float, tuple}


def _functions_of(cls: type[nn.Module]) -> tuple[Any, ...]:
    """Return what the constructor of ``cls`` calls, and patches may have replaced."""
    return (
        *(torch.empty, nn.Parameter.__new__, *_METHODS(cls), *_INITIALIZERS(nn.init)),
        *[vars(base)["__init__"] for base in _BASES[cls]],
    )


_HOMES: dict[type[nn.Module], object] = {
    cls: sys.modules[cls.__module__] for cls in LAYERS
}
"""The module of each, in which its constructor finds `Parameter`."""
_METHODS = attrgetter("__setattr__", "register_parameter", "reset_parameters")
_INITIALIZERS = attrgetter(
    *("ones_", "zeros_", "constant_", "normal_", "uniform_"),
    *("kaiming_uniform_", FANS),
)
_BASES: dict[type[nn.Module], list[type[Any]]] = {
    cls: [base for base in cls.__mro__[1:-1] if "__init__" in vars(base)]
    for cls in LAYERS
}
"""The bases of each that have constructors of their own."""


def _template_of(layer: nn.Module, init: Function) -> _Template | None:
    """Return what copies ``layer``, just constructed; None if it is unusual."""
    is_usual = (
        not parameter_hooks_of_all
        and getattr(_HOMES[type(layer)], "Parameter", None) is nn.Parameter
        and not n_dispatch_modes()
        and all(map(_is_of_device, modes_in_force()))
        and all(map(_is_torchs, (init, *_functions_of(type(layer)))))
    )
    state, parameters = vars(layer), layer._parameters
    containers = {n: v for n, v in state.items() if type(v) in _CONTAINERS}
    plain_values = [v for n, v in state.items() if n not in containers]
    if not is_usual or not all(type(v) in _CONSTANT for v in plain_values):
        return None
    # Copies get empty containers: hooks and the like would be missing in them.
    if any(v and n != "_parameters" for n, v in containers.items()):
        return None
    if not all(p is None or _waits_alone(p) for p in parameters.values()):
        return None
    return _Template(
        dict(state),
        tuple((name, type(value)) for name, value in containers.items()),
        tuple((name, _form_of(p)) for name, p in parameters.items()),
    )


def _waits_alone(parameter: nn.Parameter) -> bool:
    """Return whether the tape has everything about ``parameter``."""
    if type(parameter) is not UnfilledParameter or len(vars(parameter)) != 2:
        return False
    body, tape = parameter._body, parameter._tape
    return (
        body is tape.body
        and [id(shell) for shell in tape.shells] == [id(parameter)]
        and not tape.has_views
        # A device of another type may mean the current one, which can change.
        and body.is_cpu
        and body.is_contiguous()
    )


def _form_of(parameter: Any) -> _Form | None:
    if parameter is None:
        return None
    body: Tensor = parameter._body
    like = body.new_empty(()).expand(body.shape)
    calls = [
        (function, args, kwargs)
        for _, function, _, args, kwargs in parameter._tape.steps
    ]
    return _Form(like, parameter.requires_grad, tuple(calls))


def _is_of_device(mode: object) -> bool:
    """Return whether ``mode`` is that of ``with torch.device(...)``."""
    is_torchs = type(mode).__module__.startswith("torch.")
    return is_torchs and isinstance(getattr(mode, "device", None), torch.device)


def _is_torchs(function: Any) -> bool:
    """Return whether ``function`` is torch's own, or our wrapper of it."""
    if type(function) is BuiltinFunctionType:
        return True
    # A wrapper copies a function's module name, but not its view of globals.
    home: str = getattr(function, "__globals__", {}).get("__name__", "")
    if home.startswith(f"{__package__}."):
        return _is_torchs(getattr(function, "__wrapped__", None))
    return home.startswith("torch.")


_CONTAINERS = frozenset({dict, OrderedDict, set})
