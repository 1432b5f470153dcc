"""The functions that files may name: torch's on tensors, and registered ones."""

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, overload

import torch
from torch.nn import functional, init
from torch.overrides import get_overridable_functions

from ...config.registry import Registry
from ...config.short_text import short_repr
from ...config.spelling import did_you_mean
from ..errors import UnknownClassError
from .registry import MODULE, NAME, REGISTERED

FUNCTIONS = types.FunctionType | types.BuiltinFunctionType
"""Types of functions that are neither classes nor objects of users."""

F = TypeVar("F", bound=Callable[..., Any])


@overload
def register_function(function: F, *, name: str | None = None) -> F: ...
@overload
def register_function(
    function: None = None, *, name: str | None = None
) -> Callable[[F], F]: ...
def register_function(function: object = None, *, name: str | None = None) -> Any:
    """Let files name ``function``, an argument of modules; under ``name`` too.

    Also a decorator. Functions of torch that take tensors are known without it. A file
    that names a function makes modules call it, so that only registered ones are
    allowed: a file never causes an import, nor a call of an unregistered function.
    Raises TypeError for a lambda or a function inside another, which no other program
    could find.
    """
    if function is None:
        return lambda function: register_function(function, name=name)
    if name is not None and (not isinstance(name, str) or not name.strip()):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"the name of a function must be a non-empty str, got {name!r}")
    if not isinstance(function, FUNCTIONS):
        raise TypeError(
            f"register_function takes functions, got {short_repr(function)}; a module "
            "class is registered with burnish.register_class"
        )
    if "<" in function.__qualname__ and name is None:
        raise TypeError(
            f"{function.__qualname__} cannot be found by its name in another "
            "program; define it at the top of a module, or pass name="
        )
    _places.register((function.__module__, function.__qualname__), value=function)
    if name is not None:
        _names.register(name, value=function)
    return function


def function_names(function: object) -> dict[str, str] | None:
    """Return the node of a known function in a file; None for any other."""
    if not isinstance(function, FUNCTIONS):
        return None
    name = next((n for n, registered in _names.items() if registered is function), None)
    place = (function.__module__, function.__qualname__)
    if _places.get(place) is function:
        names = {MODULE: place[0], NAME: place[1]}
        return names if name is None else names | {REGISTERED: name}
    place_of_torch = _torch_places().get(id(function))
    if place_of_torch is None:
        return None
    return {MODULE: place_of_torch[0], NAME: place_of_torch[1]}


def function_named(names: Mapping[str, object], path: str = "") -> Callable[..., Any]:
    """Return the known function that ``names`` refer to.

    Otherwise raises `UnknownClassError`, which states what to register.
    """
    registered = names.get(REGISTERED)
    if isinstance(registered, str) and registered in _names:
        return _names[registered]
    place = (str(names.get(MODULE)), str(names.get(NAME)))
    function = _places.get(place)
    if function is None and place in _torch_functions():
        # The current attribute, since it may have been patched.
        function = getattr(sys.modules[place[0]], place[1])
    if function is None:
        where = ".".join(place)
        known_names = [n for m, n in (*_places, *_torch_functions()) if m == place[0]]
        hint = did_you_mean(place[1][:80], known_names)
        raise UnknownClassError(
            path,
            f"the function {short_repr(where, 200)} is not known here. Loading a file "
            "imports nothing: import the module that defines it, and if you trust it, "
            f"decorate it with @burnish.register_function.{hint}",
        )
    return function


_NAMESPACES = (functional, torch, torch.special, torch.linalg, torch.fft, init)

_places: Registry[tuple[str, str], Callable[..., Any]] = Registry()
_names: Registry[str, Callable[..., Any]] = Registry()


@functools.cache
def _torch_functions() -> Mapping[tuple[str, str], Callable[..., Any]]:
    """Return torch's functions on tensors by the public module and name."""
    on_tensors = {
        id(function)
        for functions in get_overridable_functions().values()
        for function in functions
    }
    return {
        (namespace.__name__, name): function
        for namespace in _NAMESPACES
        for name, function in _public_functions(namespace)
        if id(function) in on_tensors or _is_on_tensors(namespace, name, function)
    }


@functools.cache
def _torch_places() -> Mapping[int, tuple[str, str]]:
    """Return the first public location of each function, patched or not."""
    places: dict[int, tuple[str, str]] = {}
    for place, function in _torch_functions().items():
        for version in (function, inspect.unwrap(function)):
            places.setdefault(id(version), place)
    return places


def _public_functions(
    namespace: types.ModuleType,
) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, function in vars(namespace).items():
        if not name.startswith("_") and isinstance(function, FUNCTIONS):
            yield name, function


def _is_on_tensors(
    namespace: types.ModuleType, name: str, function: Callable[..., Any]
) -> bool:
    """Return whether this takes a tensor, even if it is not in torch's list of those.

    The list lacks most functions that work in place, and those that only call a method.
    """
    if name.endswith("_"):
        return (
            namespace is init
            or hasattr(torch.Tensor, name)
            or hasattr(functional, name.removesuffix("_"))
        )
    is_own = getattr(function, "__module__", None) == functional.__name__
    return namespace is functional and is_own and name in ("tanh", "sigmoid", *_SHAPED)


_SHAPED = ("hardswish", "hardsigmoid", "upsample")
