"""The effects of torch's functions on a tensor whose values are missing."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import nn

from ....config.process.interrupts import raise_of_signal
from ....records.tensors.grad_mode import no_grad
from ....records.tensors.torch_internals import without_functions

Function: TypeAlias = Callable[..., Any]

LOOK, SELF, GRADE, NOTED, VIEW = range(5)
"""The effect of a function of torch on a tensor whose values are missing.

It reads shape and dtype; reads the tensor object; changes whether it requires grad;
initializes it; returns a view of its memory.
"""


def _functions(names: str) -> Iterator[Function]:
    for name in names.split():
        method = getattr(torch.Tensor, name, None)
        if method is not None:
            # Torch reports the reading of a property as a call of its getter.
            yield method if callable(method) else method.__get__
        in_torch = getattr(torch, name, None)
        if in_torch is not None and callable(in_torch):
            yield in_torch


INITIALIZERS: dict[str, Function] = {
    name: function
    for name, function in vars(nn.init).items()
    if name.endswith("_") and not name.startswith("_")
}

_DRAWS = "normal_ uniform_ exponential_ log_normal_ cauchy_ geometric_"

KINDS: dict[Function, int] = {
    **dict.fromkeys(
        _functions(
            "shape size dim ndim ndimension numel nelement dtype device layout "
            "stride storage_offset is_contiguous is_floating_point is_complex "
            "is_signed element_size itemsize nbytes is_meta is_cuda is_cpu "
            "is_mps is_xpu is_sparse is_quantized is_conj is_neg is_inference "
            "is_nested is_same_size __len__ get_device new_empty new_zeros new_ones "
            "new_full empty_like zeros_like ones_like full_like"
        ),
        LOOK,
    ),
    **dict.fromkeys(
        _functions("requires_grad is_leaf grad grad_fn retains_grad _version"), SELF
    ),
    **dict.fromkeys(
        _functions(
            "data detach view t T mT transpose permute unsqueeze squeeze narrow "
            "select expand chunk split unbind __getitem__"
        ),
        VIEW,
    ),
    **dict.fromkeys(
        _functions(
            _DRAWS + " fill_ zero_ mul_ div_ add_ sub_ clamp_ clamp_min_ "
            "clamp_max_ clip_ erfinv_ pow_ sqrt_ exp_ log_ neg_ abs_ "
            "sign_ tanh_ sigmoid_ round_ floor_ tril_ triu_ fill_diagonal_ "
            "__setitem__ __imul__ __itruediv__ __iadd__ __isub__"
        ),
        NOTED,
    ),
    **dict.fromkeys(INITIALIZERS.values(), NOTED),
}
"""The effect of each function on an unfilled tensor; all others need values."""

_STEADY = "ones_ zeros_ constant_ eye_ dirac_"

RANDOM: frozenset[Function] = frozenset(
    [*_functions(_DRAWS)]
    + [f for name, f in INITIALIZERS.items() if name not in _STEADY.split()]
)
"""The initializers that draw random numbers."""

_INITIALIZED = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})
"""Dtypes for which every initializer that takes a shape has a kernel."""

_LARGEST = {dtype: torch.finfo(dtype).max for dtype in _INITIALIZED}
"""The largest finite number of each, since asking torch costs as much as a call."""


def succeeds(
    function: Function,
    body: torch.Tensor,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> bool:
    """Return whether ``function`` is known to run on ``body`` without an error.

    An initializer that would raise or warn has to do so where it is called.
    """
    if body.dtype not in _INITIALIZED or not body.numel():
        return False
    # Torch refuses to write in place to elements that share memory.
    if not body.is_contiguous() and 0 in body.stride():
        return False
    fits = _FITS.get(function)
    try:
        if fits is not None:
            return fits(body, *args, **kwargs)
        values = (*args, *kwargs.values())
        return _succeeds(function, body.shape, body.dtype, tuple(kwargs), *values)
    except TypeError:
        # An argument without a hash, such as a slice, or an unknown one.
        values = (*args, *kwargs.values())
        return _try(function, body.shape, body.dtype, tuple(kwargs), values)


def _is_within(body: torch.Tensor, value: Any) -> bool:
    is_number = type(value) is float or type(value) is int
    return is_number and abs(value) <= _LARGEST[body.dtype]


def _fits_normal(
    body: torch.Tensor, mean: Any = 0.0, std: Any = 1.0, generator: None = None
) -> bool:
    return _is_within(body, mean) and _is_within(body, std) and std >= 0


def _fits_uniform(
    body: torch.Tensor, a: Any = 0.0, b: Any = 1.0, generator: None = None
) -> bool:
    are_within = _is_within(body, a) and _is_within(body, b)
    return are_within and a <= b and b - a <= _LARGEST[body.dtype]


def _fits_kaiming(
    body: torch.Tensor,
    a: object = 0,
    mode: object = "fan_in",
    nonlinearity: object = "leaky_relu",
    generator: None = None,
) -> bool:
    return (
        body.ndim > 1
        and _is_within(body, a)
        and mode in ("fan_in", "fan_out")
        and nonlinearity in ("leaky_relu", "relu", "linear")
    )


def _fits_constant(body: torch.Tensor, val: object) -> bool:
    return _is_within(body, val)


def _fits_always(body: torch.Tensor) -> bool:
    return True


_FITS: dict[Function, Callable[..., bool]] = {
    torch.Tensor.normal_: _fits_normal,
    nn.init.normal_: _fits_normal,
    torch.Tensor.uniform_: _fits_uniform,
    nn.init.uniform_: _fits_uniform,
    torch.Tensor.fill_: _is_within,
    nn.init.constant_: _fits_constant,
    torch.Tensor.zero_: _fits_always,
    nn.init.kaiming_uniform_: _fits_kaiming,
    nn.init.kaiming_normal_: _fits_kaiming,
}
"""The conditions on the arguments of the usual initializers.

The others are tried on the meta device, which takes a hundred times as long.
"""


# Typed, since 1, 1.0 and True are equal as keys, but not to every initializer.
@lru_cache(maxsize=4096, typed=True)
def _succeeds(
    function: Function,
    shape: torch.Size,
    dtype: torch.dtype,
    names: tuple[str, ...],
    *values: object,
) -> bool:
    return _try(function, shape, dtype, names, values)


def _try(
    function: Function,
    shape: torch.Size,
    dtype: torch.dtype,
    names: tuple[str, ...],
    values: tuple[Any, ...],
) -> bool:
    # With a tensor on the meta device torch checks the arguments and computes nothing.
    stand_in = torch.empty(shape, dtype=dtype, device="meta")
    n_args = len(values) - len(names)
    kwargs = dict(zip(names, values[n_args:], strict=True))
    try:
        with no_grad(), without_functions():
            function(stand_in, *values[:n_args], **kwargs)
    except Exception as error:
        raise_of_signal(error)
        return False
    return True
