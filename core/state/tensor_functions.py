"""What the functions of torch do with a tensor whose values are not there yet."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import nn

Function: TypeAlias = Callable[..., Any]


def _functions(names: str) -> Iterator[Function]:
    for name in names.split():
        found = getattr(torch.Tensor, name, None)
        if found is not None:
            yield found if callable(found) else found.__get__
        in_torch = getattr(torch, name, None)
        if in_torch is not None and callable(in_torch):
            yield in_torch


def _setters(names: str) -> Iterator[Function]:
    return (getattr(torch.Tensor, name).__set__ for name in names.split())


NO_VALUES, NOTED, VIEW, SET_DATA = range(4)

INITIALIZERS: dict[str, Function] = {
    name: function
    for name, function in vars(nn.init).items()
    if name.endswith("_") and not name.startswith("_")
}

KINDS: dict[Function, int] = {
    # Need no values.
    **dict.fromkeys(
        _functions(
            "shape size dim ndim ndimension numel nelement dtype device layout "
            "requires_grad requires_grad_ is_leaf grad grad_fn stride "
            "storage_offset is_contiguous is_floating_point is_complex "
            "is_signed element_size itemsize nbytes is_meta is_cuda is_cpu "
            "is_mps is_xpu is_sparse is_quantized is_shared is_pinned is_conj "
            "is_neg is_inference is_nested is_same_size __len__ _version _base "
            "_is_view output_nr retains_grad get_device data_ptr new_empty "
            "new_zeros new_ones new_full new_tensor empty_like zeros_like "
            "ones_like full_like rand_like randn_like register_hook "
            "register_post_accumulate_grad_hook"
        ),
        NO_VALUES,
    ),
    **dict.fromkeys(_setters("requires_grad grad"), NO_VALUES),
    **dict.fromkeys(_setters("data"), SET_DATA),
    # Give back memory of their first argument, unless a tensor or a list indexes it.
    **dict.fromkeys(
        _functions(
            "data detach view t T mT transpose permute unsqueeze squeeze narrow "
            "select expand chunk split unbind __getitem__"
        ),
        VIEW,
    ),
    # These change their first argument and give back nothing else.
    **dict.fromkeys(
        _functions(
            "normal_ uniform_ fill_ zero_ mul_ div_ add_ sub_ clamp_ clamp_min_ "
            "clamp_max_ clip_ erfinv_ bernoulli_ exponential_ random_ "
            "log_normal_ cauchy_ geometric_ pow_ sqrt_ exp_ log_ neg_ abs_ "
            "sign_ tanh_ sigmoid_ round_ floor_ tril_ triu_ fill_diagonal_ "
            "__setitem__ __imul__ __itruediv__ __iadd__ __isub__"
        ),
        NOTED,
    ),
    **dict.fromkeys(INITIALIZERS.values(), NOTED),
}
"""What a function does with an unfilled tensor; one that is not here reads it."""
