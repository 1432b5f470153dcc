"""Freezing and unfreezing of parameters by pattern."""

from torch import nn

from ..config.patterns import Patterns
from ..config.short_text import short_repr
from ..records.tensors.dtypes import can_require_grad
from .state.param_selection import select_params


def freeze(module: nn.Module, patterns: Patterns = "**") -> list[str]:
    """Freeze the parameters that match, or all; return their paths.

    They no longer require a gradient, and a present gradient is dropped: an optimizer
    that is bound to them leaves them, and its state of them, unchanged. Running
    statistics of norms are still updated in training mode; ``.eval()`` prevents that. A
    predicate is called with a `Param`. ValueError if a path or pattern matches nothing.
    """
    params = select_params(module, patterns, "freeze")
    for param in params:
        # A remaining gradient would be applied once more, and forever where
        # zero_grad(set_to_none=False) turns it into zeros.
        param.tensor.grad = None
        param.tensor.requires_grad = False
    return [param.path for param in params]


def thaw(module: nn.Module, patterns: Patterns = "**") -> list[str]:
    """Unfreeze the parameters that match, or all; return their paths.

    Integer parameters are left alone, since they have no gradient. ValueError if a path
    or pattern matches nothing else.
    """
    params = select_params(module, patterns, "thaw")
    can_train = [param for param in params if can_require_grad(param.tensor)]
    if params and not can_train:
        raise ValueError(
            f"thaw: the parameters that match {short_repr(patterns)} hold integers, "
            f"which have no gradient: {params[0].path} is {params[0].tensor.dtype}"
        )
    for param in can_train:
        param.tensor.requires_grad = True
    return [param.path for param in can_train]
