"""Argument values that represent modules: blueprints, classes, ready modules."""

# pyright: reportPrivateUsage=false
# The tables in which a module keeps its tensors have no public names.

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import nn

from ...hyperparameters.capture import captured_arguments, known_arguments
from ...modules.classes import torch_classes
from ...modules.signature import call_arguments
from ..edits.edits import Unbuilt, build_inside
from ..edits.wrapped import WrappedCall
from .arguments import Arguments, bind

BlueprintMaker: TypeAlias = Callable[[type[nn.Module], Arguments], Unbuilt]
"""Creates a blueprint of a class and its arguments; defined above, and passed in."""


def build_values(value: Any, *, is_of_root: bool = False) -> Any:
    """Return ``value`` with blueprints built and modules copied: none is shared.

    Arguments passed to a part that was wrapped later are not changed; the root has no
    maker.
    """
    # This runs for every construction, and nearly every argument is one of these.
    if value is None or isinstance(value, int | float | str | type):
        return value
    if isinstance(value, Unbuilt):
        return build_inside(value)
    if isinstance(value, nn.Module | nn.Parameter):
        return copy.deepcopy(value)
    if isinstance(value, WrappedCall):
        return _construct_wrapped(value, is_of_root=is_of_root)
    if type(value) in (list, tuple):
        return type(value)(build_values(v, is_of_root=is_of_root) for v in value)
    if type(value) is dict:
        return {k: build_values(v, is_of_root=is_of_root) for k, v in value.items()}
    return value


def _construct_wrapped(call: WrappedCall, *, is_of_root: bool) -> nn.Module:
    is_passed_on = (WrappedCall,) if not is_of_root else (object,)
    values = {
        name: build_values(value, is_of_root=is_of_root)
        if name in call.edited_names or isinstance(value, is_passed_on)
        else value
        for name, value in call.arguments.items()
    }
    args, kwargs = call_arguments(call.cls, values)
    return call.cls(*args, **kwargs)


def frozen_value(value: Any, blueprint_of: BlueprintMaker) -> Any:
    """Return a copy of ``value`` that later changes of it do not affect."""
    if isinstance(value, Unbuilt):
        return value.new()
    if type(value) in (list, tuple):
        return type(value)(frozen_value(item, blueprint_of) for item in value)
    if type(value) is dict:
        return {key: frozen_value(item, blueprint_of) for key, item in value.items()}
    if isinstance(value, nn.Module) and _is_plain_layer(value):
        return as_blueprint(value, blueprint_of)
    return value


def as_blueprint(value: object, blueprint_of: BlueprintMaker) -> Unbuilt:
    """Return a blueprint for ``value``."""
    if isinstance(value, Unbuilt):
        return value.new()
    return blueprint_of(*class_and_arguments(value))


def is_module_class(value: object) -> bool:
    """Return whether ``value`` creates modules: a class, or a partial of one."""
    if isinstance(value, functools.partial):
        return is_module_class(value.func)
    return isinstance(value, type) and issubclass(value, nn.Module)


def stands_for_module(value: object) -> bool:
    """Return whether ``value`` can be used where a module is expected."""
    return is_module_class(value) or isinstance(value, nn.Module | Unbuilt)


def class_and_arguments(value: object) -> tuple[type[nn.Module], Arguments]:
    """Return what to construct for a class, a partial of one, or a plain module.

    Raises TypeError for a module with weights, which cannot be a part of a blueprint.
    """
    if isinstance(value, functools.partial):
        cls, before = class_and_arguments(value.func)
        return cls, before | bind(cls, value.args, value.keywords)
    if isinstance(value, type):
        return value, {}
    if not isinstance(value, nn.Module):
        raise TypeError(f"expected a module class or a blueprint, got {value!r:.80}")
    return type(value), dict(_arguments_of(value))


def _arguments_of(module: nn.Module) -> Mapping[str, Any]:
    name = type(module).__qualname__
    if next(module.parameters(), None) is not None:
        raise TypeError(
            f"this {name} is built and has weights, which are not part of a "
            f"blueprint. Pass the classor Blueprint({name}, ...), and load the "
            "weights after building."
        )
    arguments = captured_arguments(module) or known_arguments(module, type(module))
    if arguments is None:
        raise TypeError(
            f"the arguments of this {name} are not known. Pass Blueprint({name}, ...)."
        )
    return arguments


def _is_plain_layer(module: nn.Module) -> bool:
    """Return whether ``module`` is a layer of torch described by its arguments."""
    if type(module) not in torch_classes():
        return False
    return not any((module._parameters, module._buffers, module._modules))
