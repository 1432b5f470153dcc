# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Initializers of transformers' models, skipped in a build for a whole record.

The library's own loading does the same: it calls no initializer of modules whose
tensors are all loaded, and its models are written for that.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import nn

from .patches import patch_function
from .tensor_functions import Function
from .unfilled import Unfilled

MODELS = "transformers.modeling_utils"
"""The library's module with the base class of its models."""
_HOMES = frozenset({MODELS, "torch.utils._contextlib", "contextlib"})
"""The modules of the library's method, and of the decorators around it."""


class BuildWithoutInit(Protocol):
    """A build that may skip initializers."""

    def leave_out(self) -> bool:
        """Record that initializers are skipped; return False if they must not be."""
        raise NotImplementedError


def patch_init(current_build: Callable[[], BuildWithoutInit | None]) -> None:
    """Let models ask the current build; the program has imported `MODELS`."""
    base: Any = getattr(sys.modules.get(MODELS), "PreTrainedModel", None)
    if base is not None and "initialize_weights" in vars(base):

        def around(initialize: Function) -> Function:
            return _asking(initialize, base, current_build)

        patch_function(base, "initialize_weights", around)


def _asking(
    initialize: Function,
    base: type[nn.Module],
    current_build: Callable[[], BuildWithoutInit | None],
) -> Function:
    is_original = _is_librarys(initialize)

    def initialize_weights(self: nn.Module) -> Any:
        build = current_build() if is_original else None
        if build is None:
            return initialize(self)
        # Torch's method walks the whole tree up and down; this visits each module once.
        modules = [*self.modules()]
        if not _is_usual(modules, base) or not build.leave_out():
            return initialize(self)
        # The library calls no initializer of a marked module.
        for module in modules:
            vars(module)["_is_hf_initialized"] = True
        return None

    return initialize_weights


def _is_librarys(function: Function | None) -> bool:
    """Return whether the library's method was not wrapped by other code."""
    while function is not None:
        if getattr(function, "__globals__", {}).get("__name__") not in _HOMES:
            return False
        function = getattr(function, "__wrapped__", None)
    return True


def _is_usual(modules: Sequence[nn.Module], base: type[nn.Module]) -> bool:
    """Return whether the library's own code would do nothing but fill ``modules``.

    Initializers of users may do more, and a parameter that already has its values may
    be read without its tape.
    """
    models = {cls for cls in set(map(type, modules)) if issubclass(cls, base)}
    methods = (getattr(cls, name) for cls in models for name in _METHODS)
    return all(map(_is_of_transformers, methods)) and all(
        parameter is None or isinstance(parameter, Unfilled)
        for module in modules
        for parameter in module._parameters.values()
    )


_METHODS = ("initialize_weights", "_initialize_weights", "_init_weights")


def _is_of_transformers(method: Function) -> bool:
    return method.__module__.startswith("transformers.")
