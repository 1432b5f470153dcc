"""The arguments of bind, checked before they are used."""

from collections.abc import Collection, Sequence

import torch
from torch import nn

from ...config.arguments import check_flag
from ...config.short_text import short_repr, with_article
from ...records.tensors.dtypes import dtype_meant
from ..clipping import check_clip
from ..groups import Group
from ..tensor_optimizer import TensorOptimizer


def check_bind_arguments(
    optimizer: object,
    module: object,
    *,
    groups: Sequence[object],
    clip: object,
    maximize: object,
    state_dtype: object,
    master_dtype: object,
    rounding: object,
    seed: object,
    nonfinite: str,
    fused: object,
) -> None:
    """Raise TypeError or ValueError for an invalid argument."""
    if not isinstance(optimizer, TensorOptimizer):
        raise TypeError(
            "the first argument must be a SimpleOptimizer, got "
            f"{type(optimizer).__name__}; write OptimizerAdaptor(AdamW(), net, "
            "lr=1e-3)"
        )
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"an optimizer is bound to a module, got {type(module).__name__}; "
            "pass the module itself, as in AdamW().bind(net, lr=1e-3). Put "
            "several modules into one: nn.ModuleDict({'a': net, 'b': other})"
        )
    check_nonfinite(nonfinite)
    check_flag("fused", fused, may_be_none=True)
    check_flag("maximize", maximize)
    check_clip(clip)
    if isinstance(groups, Group):
        raise TypeError(
            "groups must be a list of Group(...), got a single Group; write "
            "groups=[Group(...)]"
        )
    if not isinstance(groups, Collection):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(
            f"groups must be a list of Group(...), got {short_repr(groups)}; write "
            "groups=[Group('**.bias', weight_decay=0.0)]"
        )
    for group in groups:
        if not isinstance(group, Group):
            raise TypeError(
                "groups must be Group(...), got "
                f"{with_article(type(group).__name__)}. A group names its parameters "
                "by patterns of paths: groups=[Group('**.bias', weight_decay=0.0)]"
            )
    check_dtypes(state_dtype, master_dtype)
    check_rounding(rounding, seed, master_dtype)


def check_nonfinite(nonfinite: object) -> None:
    """Raise ValueError for an unknown policy."""
    if nonfinite not in ("pass", "skip", "error"):
        raise ValueError(
            f"nonfinite must be 'pass', 'skip' or 'error', got {nonfinite!r}"
        )


def check_dtypes(state_dtype: object, master_dtype: object) -> None:
    """Raise ValueError for a dtype that no state, or no master, can have."""
    if state_dtype is not None and not (
        isinstance(state_dtype, torch.dtype) and state_dtype.is_floating_point
    ):
        raise ValueError(
            f"state_dtype must be a floating dtype, got {state_dtype!r:.60}"
            f"{_dtype_hint('state_dtype', state_dtype)}"
        )
    if master_dtype not in (None, torch.float32, torch.float64):
        raise ValueError(
            "master_dtype must be torch.float32, torch.float64 or None, got "
            f"{master_dtype!r:.60}{_dtype_hint('master_dtype', master_dtype)}"
        )


def _dtype_hint(option: str, value: object) -> str:
    """Return how to pass the dtype that a string names, or an empty string."""
    dtype = dtype_meant(value)
    return f", a string; pass the dtype: {option}={dtype}" if dtype is not None else ""


def check_rounding(rounding: object, seed: object, master_dtype: object) -> None:
    """Raise ValueError or TypeError for an unknown or impossible rounding."""
    if rounding not in ("nearest", "stochastic"):
        raise ValueError(
            f"rounding must be 'nearest' or 'stochastic', got {rounding!r:.60}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int, got {seed!r:.60}")
    if rounding == "stochastic" and master_dtype is not None:
        raise ValueError(
            "master_dtype and rounding='stochastic' cannot be combined, since a "
            "weight with a master is the master rounded to nearest; pass one of "
            "them (rounding='stochastic' takes no extra memory)"
        )
