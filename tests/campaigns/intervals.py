"""Intervals: what a drawn step may give when each operation keeps an engine's promise.

A step is run on intervals in place of tensors. After each operation the ends are moved
apart by what the promise allows, so that both the loop and an engine lie within.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}
"""By how much of its largest operand an operation may be off."""

_ROUNDED_AS_THE_LOOP = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "square",
        "sqrt",
        "radd",
        "rmul",
        "rsub",
        "rtruediv",
        "iadd",
        "isub",
        "imul",
        "itruediv",
    ]
)
"""Operations that round a half precision as the loop does, wherever they run."""

_EXACT = frozenset(
    [
        "neg",
        "abs",
        "sign",
        "relu",
        "maximum",
        "minimum",
        "clamp",
        "clip",
        "clamp_min",
        "clamp_max",
        "copy",
        "new_full",
    ]
)
_ALIASES = {
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "absolute": "abs",
    "negative": "neg",
}
"""Other names of an operation; what is said of it is said of them."""

_COMPARE = frozenset(["gt", "ge", "lt", "le", "eq", "ne"])


class Unsupported(Exception):
    """An operation that no recording has, and intervals need not have."""


class Interval:
    """Two ends of one dtype; where ``free``, every value is allowed."""

    __array_ufunc__ = None

    def __init__(self, low: Tensor, high: Tensor, free: Tensor | None = None) -> None:
        self.low, self.high, self.free = low, high, free

    @property
    def is_point(self) -> bool:
        """Whether both ends are one tensor."""
        return self.low is self.high

    @property
    def dtype(self) -> torch.dtype:
        return self.low.dtype

    @property
    def shape(self) -> torch.Size:
        return self.low.shape

    @property
    def ndim(self) -> int:
        return self.low.ndim

    def numel(self) -> int:
        return self.low.numel()

    @property
    def data(self) -> "Interval":
        return self

    def become(self, other: "Interval") -> "Interval":
        """Change in place."""
        if other.dtype is not self.dtype:
            raise Unsupported("changed in place into another dtype")
        self.low, self.high, self.free = other.low, other.high, other.free
        return self

    def holds(self, value: Tensor) -> Tensor:
        """Return where ``value`` is allowed."""
        inside = (self.low <= value) & (value <= self.high)
        nan = value.isnan() & (self.low.isnan() | self.high.isnan())
        inside |= nan
        return inside if self.free is None else inside | self.free

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_shape":
            raise AttributeError(name)
        return lambda *args, **kwargs: apply(name, self, *args, **kwargs)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return apply(func.__name__, *args, **(kwargs or {}))


def _operator(name: str) -> Callable[..., Any]:
    return lambda self, *args: apply(name, self, *args)


for _name in [
    "add",
    "radd",
    "iadd",
    "sub",
    "rsub",
    "isub",
    "mul",
    "rmul",
    "imul",
    "truediv",
    "rtruediv",
    "itruediv",
    "pow",
    "neg",
    "abs",
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "ne",
    "and",
    "or",
    "invert",
]:
    setattr(Interval, f"__{_name}__", _operator(f"__{_name}__"))


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """Return the interval of an operation of torch, by the name of its method."""
    name = name.strip("_") if name.startswith("__") else name
    if name.endswith("_"):
        return args[0].become(apply(name[:-1], *args, **kwargs))
    target = kwargs.pop("out", None)
    if target is not None:
        return target.become(apply(name, *args, **kwargs))
    if name in ("iadd", "isub", "imul", "itruediv"):
        return args[0].become(apply(name[1:], *args))
    name = _ALIASES.get(name, name)
    if name in _SPECIAL:
        return _SPECIAL[name](*args, **kwargs)
    if name in _COMPARE:
        return _compared(name, *args)
    return _computed(name, args, kwargs)


def _computed(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:
    known = _ROUNDED_AS_THE_LOOP | _EXACT | _OTHERS
    if name not in known:
        raise Unsupported(name)
    values = [a for a in (*args, *kwargs.values()) if isinstance(a, Interval)]
    function = _FUNCTIONS.get(name) or _method(name)
    ends: list[Tensor] = []
    for corner in itertools.product(*(_ends(name, v, args) for v in values)):
        chosen = iter(corner)
        plain = [next(chosen) if isinstance(a, Interval) else a for a in args]
        words = {
            k: next(chosen) if isinstance(a, Interval) else a for k, a in kwargs.items()
        }
        ends.append(function(*plain, **words))
    free = _any_free(values)
    if len(ends) == 1:
        result = Interval(ends[0], ends[0], free)
    else:
        stacked = torch.stack(ends)
        nan = stacked.isnan()
        low, high = stacked.amin(0), stacked.amax(0)
        same = (stacked == stacked[0]).all(0) | nan.all(0)
        result = Interval(low, high, _or(free, nan.any(0) & ~same))
    if name in ("div", "rtruediv", "reciprocal", "rsqrt", "pow", "addcdiv"):
        result.free = _or(result.free, _divides_by_zero(name, args))
    return _widened(result, values, name, "alpha" in kwargs)


def _ends(name: str, value: Interval, args: tuple[Any, ...]) -> list[Tensor]:
    if value.is_point:
        return [value.low]
    ends = [value.low, value.high]
    if name in ("abs", "square", "pow"):
        # Not monotone over zero, which is then the least.
        ends.append(torch.maximum(torch.minimum(value.high, value.low * 0), value.low))
    return ends


def _divides_by_zero(name: str, args: tuple[Any, ...]) -> Tensor | None:
    place = {"div": 1, "addcdiv": 2}.get(name, 0)
    divisor = args[place]
    if not isinstance(divisor, Interval) or divisor.is_point:
        return None
    if name == "pow" and args[1] >= 0:
        return None
    same = divisor.low == divisor.high
    return (divisor.low <= 0) & (divisor.high >= 0) & ~same


def _widened(
    result: Interval, values: list[Interval], name: str, has_alpha: bool
) -> Interval:
    dtype = result.dtype
    if name in _EXACT or not dtype.is_floating_point:
        return result
    if dtype in TOLERANCE:
        return _apart(name, result, values)
    if name in _ROUNDED_AS_THE_LOOP and not has_alpha:
        return result
    limits = torch.finfo(dtype)
    low, high = result.low.float(), result.high.float()
    size = _size(name, result, values).float()
    pad = limits.eps * size + limits.smallest_normal * limits.eps
    low = torch.where(low.isfinite(), low - pad, low)
    high = torch.where(high.isfinite(), high + pad, high)
    free = _or(result.free, size > limits.max / 2)
    return Interval(low.to(dtype), high.to(dtype), free)


def _apart(name: str, result: Interval, values: list[Interval]) -> Interval:
    dtype, size = result.dtype, _size(name, result, values)
    pad = TOLERANCE[dtype] * size + torch.finfo(dtype).smallest_normal
    low = torch.where(result.low.isfinite(), result.low - pad, result.low)
    high = torch.where(result.high.isfinite(), result.high + pad, result.high)
    # Near the ends of the range an order of factors decides on an infinity.
    edge = size > torch.finfo(dtype).max * 1e-6
    return Interval(low, high, _or(result.free, edge & ~result.low.isnan()))


_SUMS = frozenset(["add", "sub", "radd", "rsub", "lerp", "addcmul", "addcdiv"])


def _size(name: str, result: Interval, values: list[Interval]) -> Tensor:
    """Return of what size an operation's rounding is: its result's, or a term's."""
    size = torch.maximum(result.low.abs(), result.high.abs())
    for value in values if name in _SUMS else ():
        for end in (value.low, value.high):
            size = torch.maximum(size, end.abs().nan_to_num(0.0, 0.0).to(size.dtype))
    return size


def _or(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a | b


def _any_free(values: list[Interval]) -> Tensor | None:
    free: Tensor | None = None
    for value in values:
        free = _or(free, value.free)
    return free


def _compared(name: str, a: Any, b: Any) -> Interval:
    free = _any_free([v for v in (a, b) if isinstance(v, Interval)])
    (al, ah), (bl, bh) = _pair(a), _pair(b)
    if all(not isinstance(v, Interval) or v.is_point for v in (a, b)):
        mask = _call(name, al, bl)
        certain, possible = mask, mask
    elif name in ("gt", "ge"):
        certain, possible = _call(name, al, bh), _call(name, ah, bl)
    elif name in ("lt", "le"):
        certain, possible = _call(name, ah, bl), _call(name, al, bh)
    else:
        meet = _call("le", al, bh) & _call("ge", ah, bl)
        same = _call("eq", al, bl) & _call("eq", ah, bh) & _call("eq", al, ah)
        certain, possible = (same, meet) if name == "eq" else (~meet, ~same)
    if free is not None:
        certain, possible = certain & ~free, possible | free
    return Interval(certain, certain if certain is possible else possible)


def _call(name: str, a: Any, b: Any) -> Tensor:
    mask: Tensor = getattr(torch, name)(torch.as_tensor(a), b)
    return mask


def _pair(value: Any) -> tuple[Any, Any]:
    return (value.low, value.high) if isinstance(value, Interval) else (value, value)


def _where(condition: Any, a: Any, b: Any) -> Interval:
    if not isinstance(condition, Interval):
        raise Unsupported("where with a plain condition")
    (al, ah), (bl, bh) = _pair(a), _pair(b)
    yes, no = condition.low, ~condition.high
    mask = condition.low
    if condition.is_point:
        low, high = torch.where(mask, al, bl), torch.where(mask, ah, bh)
    else:
        low = _chosen(yes, no, al, bl, torch.minimum)
        high = _chosen(yes, no, ah, bh, torch.maximum)
    free: Tensor | None = None
    for value, unless in ((a, no), (b, yes)):
        if isinstance(value, Interval) and value.free is not None:
            free = _or(free, value.free & ~unless)
    unsure = ~yes & ~no
    free = _or(free, unsure & (low.isnan() | high.isnan()))
    return Interval(low, low if low is high else high, free)


def _chosen(yes: Tensor, no: Tensor, a: Any, b: Any, either: Any) -> Tensor:
    first, second = torch.where(yes, a, b), torch.where(no, b, a)
    return torch.where(yes, first, torch.where(no, second, either(first, second)))


def _to(self: Interval, dtype: Any, **_: Any) -> Interval:
    dtype = dtype.dtype if isinstance(dtype, Interval) else dtype
    if dtype is self.dtype:
        return self
    low = self.low.to(dtype)
    return Interval(low, low if self.is_point else self.high.to(dtype), self.free)


def _clone(self: Interval) -> Interval:
    return Interval(self.low, self.high, self.free)


def _filled(value: float) -> Callable[..., Interval]:
    def function(like: Interval, fill: Any = value, dtype: Any = None) -> Interval:
        new = torch.full_like(like.low, fill, dtype=dtype)
        return Interval(new, new)

    return function


def _inverted(self: Interval) -> Interval:
    low = ~self.high
    return Interval(low, low if self.is_point else ~self.low, self.free)


def _both(a: Interval, b: Interval) -> Interval:
    return Interval(a.low & b.low, a.high & b.high)


def _either(a: Interval, b: Interval) -> Interval:
    return Interval(a.low | b.low, a.high | b.high)


def _copy(self: Interval, other: Interval) -> Interval:
    return _to(other, self.dtype) if other.dtype is not self.dtype else _clone(other)


def _clamp(self: Interval, min: Any = None, max: Any = None) -> Interval:
    low = self if min is None else apply("clamp_min", self, min)
    result: Interval = low if max is None else apply("clamp_max", low, max)
    return _clone(result)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "where": lambda *args: (
        _where(*args)
        if args[0].dtype is torch.bool
        else _where(args[1], args[0], args[2])
    ),
    "masked_fill": lambda a, mask, value: _where(mask, value, a),
    "detach": lambda a: a,
    "contiguous": lambda a: a,
    "clone": _clone,
    "copy": _copy,
    "clamp": _clamp,
    "clip": _clamp,
    "to": _to,
    "type_as": _to,
    "float": lambda a: _to(a, torch.float32),
    "double": lambda a: _to(a, torch.float64),
    "half": lambda a: _to(a, torch.float16),
    "bfloat16": lambda a: _to(a, torch.bfloat16),
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "full_like": _filled(0.0),
    "zero": _filled(0.0),
    "fill": lambda a, value: _filled(0.0)(a, value),
    "invert": _inverted,
    "and": _both,
    "or": _either,
}
_OTHERS = frozenset(
    [
        "rsqrt",
        "reciprocal",
        "pow",
        "exp",
        "log",
        "log1p",
        "expm1",
        "tanh",
        "sigmoid",
        "lerp",
        "addcmul",
        "addcdiv",
        "radd",
        "rmul",
        "rsub",
        "rtruediv",
    ]
)


def _reversed(name: str) -> Callable[..., Tensor]:
    def function(a: Tensor, b: Any) -> Tensor:
        result: Tensor = getattr(torch.Tensor, f"__{name}__")(a, b)
        return result

    return function


_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "radd": _reversed("radd"),
    "rmul": _reversed("rmul"),
    "rtruediv": _reversed("rtruediv"),
    "rsub": torch.rsub,
}


def _method(name: str) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = getattr(torch, name, None) or getattr(
        torch.Tensor, name
    )
    return function
