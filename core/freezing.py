"""Which parameters are trained: freezing and thawing them by pattern."""

from torch import nn

from ..config.patterns import Patterns
from ..config.short_text import short_repr
from ..records.tensors.dtypes import can_require_grad
from .state.param_selection import select_params


def freeze(module: nn.Module, patterns: Patterns = "**") -> list[str]:
    """Train the parameters that match, or all, no longer; return their paths.

    They require no gradient, and the one that they have is dropped: an optimizer that
    is bound to them leaves them and its state of them as they are. Running statistics
    of norms go on in training mode; ``.eval()`` keeps them. A predicate gets a `Param`.
    ValueError where a path or pattern matches nothing.
    """
    params = select_params(module, patterns, "freeze")
    for param in params:
        # A gradient from before would be stepped once more, and for ever where
        # zero_grad(set_to_none=False) makes it zeros.
        param.tensor.grad = None
        param.tensor.requires_grad = False
    return [param.path for param in params]


def thaw(module: nn.Module, patterns: Patterns = "**") -> list[str]:
    """Train the parameters that match, or all, again; return their paths.

    Those of whole numbers stay as they are, since they have no gradient. ValueError
    where a path or pattern matches nothing else.
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
