"""Recording: a step for one tensor, run on stand-ins, becomes a list of operations.

The operations are the key of a compiled program; the numbers among them (learning
rate, bias corrections) are kept apart, so that schedules never compile anything.
"""

import builtins
import math
from collections.abc import Callable
from typing import Any

import torch

Op = tuple[Any, ...]
"""``(name, *arguments)``: a value's number, or ``~i`` for constant number ``i``."""


class NotElementwise(Exception):
    """The step does what cannot be done one element at a time; it runs as written."""


class ImpureStepError(TypeError):
    """A step changed one of its arguments, or returned what does not fit."""


class Recording:
    """The operations of one step, in order; value ``i`` is input ``i`` or an op's."""

    __slots__ = (
        "constants",
        "dtypes",
        "inputs",
        "like",
        "n_inputs",
        "names",
        "ops",
        "reads_shape",
    )

    def __init__(
        self,
        names: tuple[str, ...],
        dtypes: tuple[torch.dtype, ...],
        like: torch.Tensor,
    ) -> None:
        self.ops: list[Op] = []
        self.constants: list[float] = []
        self.dtypes = list(dtypes)
        self.names = names
        self.like = like
        self.n_inputs = len(dtypes)
        self.reads_shape = False
        self.inputs = [StandIn(self, i, dtype) for i, dtype in enumerate(dtypes)]

    def clear(self) -> None:
        """Forget what was recorded; the inputs stay."""
        self.ops = []
        self.constants = []
        del self.dtypes[self.n_inputs :]
        self.reads_shape = False

    def constant(self, value: Any) -> int:
        """Keep a number apart and return how an operation refers to it."""
        if type(value) is not float:
            value = _number(value)
        constants = self.constants
        constants.append(value)
        return -len(constants)


class StandIn:
    """What a step sees in place of a tensor; every operation on it is written down."""

    __slots__ = ("dtype", "id", "tape")
    tape: Recording
    id: int
    dtype: torch.dtype

    __class__ = property(lambda self: torch.Tensor)  # pyright: ignore[reportIncompatibleMethodOverride]  # isinstance(x, Tensor) must hold
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, tape: Recording, number: int, dtype: torch.dtype) -> None:
        self.tape = tape
        self.id = number
        self.dtype = dtype

    @property
    def shape(self) -> torch.Size:
        """Its use is noted: numbers may depend on it."""
        self.tape.reads_shape = True
        return self.tape.like.shape

    @property
    def ndim(self) -> int:
        """Its use is noted: numbers may depend on it."""
        self.tape.reads_shape = True
        return self.tape.like.ndim

    @property
    def device(self) -> torch.device:
        """The device of the tensors that it stands for."""
        return self.tape.like.device

    requires_grad = property(lambda self: False)
    is_sparse = property(lambda self: False)
    layout = property(lambda self: torch.strided)
    grad = property(lambda self: None)
    data = property(lambda self: self)

    def size(self, dim: int | None = None) -> Any:
        """Stand in for `Tensor.size`."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Stand in for `Tensor.numel`."""
        self.tape.reads_shape = True
        return self.tape.like.numel()

    nelement = numel

    def dim(self) -> int:
        """Stand in for `Tensor.dim`."""
        return self.ndim

    def is_floating_point(self) -> bool:
        """Stand in for `Tensor.is_floating_point`."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Stand in for `Tensor.is_complex`."""
        return False

    def element_size(self) -> int:
        """Stand in for `Tensor.element_size`."""
        return self.dtype.itemsize

    def detach(self) -> "StandIn":
        """Stand in for `Tensor.detach`."""
        return self

    contiguous = detach

    def clone(self, **kwargs: Any) -> "StandIn":
        """Return a value of its own: changing it in place leaves this one."""
        return StandIn(self.tape, self.id, self.dtype)

    def to(self, *args: Any, **kwargs: Any) -> "StandIn":
        """Stand in for `Tensor.to` a dtype."""
        wanted = [*args, *kwargs.values()]
        if len(wanted) != 1 or "device" in kwargs or type(wanted[0]) is bool:
            raise NotElementwise("it calls to() with more than a dtype")
        target = wanted[0]
        dtype = target if isinstance(target, torch.dtype) else target.dtype
        if type(target) is not torch.dtype and type(target) is not StandIn:
            raise NotElementwise("it calls to() with more than a dtype")
        return _cast(self, dtype)

    def float(self) -> "StandIn":
        """Stand in for `Tensor.float`."""
        return _cast(self, torch.float32)

    def double(self) -> "StandIn":
        """Stand in for `Tensor.double`."""
        return _cast(self, torch.float64)

    def half(self) -> "StandIn":
        """Stand in for `Tensor.half`."""
        return _cast(self, torch.float16)

    def bfloat16(self) -> "StandIn":
        """Stand in for `Tensor.bfloat16`."""
        return _cast(self, torch.bfloat16)

    def type_as(self, other: "StandIn") -> "StandIn":
        """Stand in for `Tensor.type_as`."""
        return _cast(self, other.dtype)

    def __bool__(self) -> bool:
        raise NotElementwise("it branches on the values of a tensor")

    def __float__(self) -> "builtins.float":
        raise NotElementwise("it reads the value of a tensor")

    __int__ = __index__ = item = tolist = __len__ = __iter__ = __float__

    def __getitem__(self, index: Any) -> "StandIn":
        raise NotElementwise("it uses indexing")

    def __matmul__(self, other: Any) -> "StandIn":
        raise NotElementwise("it multiplies matrices")

    __rmatmul__ = __matmul__

    def __getattr__(self, name: str) -> Any:
        raise NotElementwise(f"it uses Tensor.{name}")

    def __pow__(self, exponent: Any) -> "StandIn":
        if type(exponent) in (int, float) and float(exponent) in _POWERS:
            return _emit(self, f"pow:{float(exponent)}", self.dtype, (self.id,))
        raise NotElementwise(f"it raises a tensor to the power {exponent!r}")

    pow = __pow__

    def __rsub__(self, other: Any) -> "StandIn":
        negative: StandIn = getattr(self, "neg")()  # noqa: B009  # added below
        return _METHOD["add"](negative, other)

    def __rtruediv__(self, other: Any) -> "StandIn":
        inverse: StandIn = getattr(self, "reciprocal")()  # noqa: B009  # added below
        return _METHOD["mul"](inverse, other)

    def lerp(self, end: "StandIn", weight: Any) -> "StandIn":
        """Stand in for `Tensor.lerp`."""
        return _emit(self, "lerp", self.dtype, (self.id, *_refs(self, end, weight)))

    def addcmul(self, a: "StandIn", b: "StandIn", *, value: Any = 1.0) -> "StandIn":
        """Stand in for `Tensor.addcmul`."""
        return _emit(self, "addcmul", self.dtype, (self.id, *_refs(self, a, b, value)))

    def addcdiv(self, a: "StandIn", b: "StandIn", *, value: Any = 1.0) -> "StandIn":
        """Stand in for `Tensor.addcdiv`."""
        return _emit(self, "addcdiv", self.dtype, (self.id, *_refs(self, a, b, value)))

    def clamp(self, min: Any = None, max: Any = None) -> "StandIn":
        """Stand in for `Tensor.clamp`."""
        low = self if min is None else self.clamp_min(min)
        return low.clone() if max is None else low.clamp_max(max)

    clip = clamp

    def where(self, condition: "StandIn", other: Any) -> "StandIn":
        """Stand in for `Tensor.where`."""
        return _where(condition, self, other)

    def masked_fill(self, mask: "StandIn", value: Any) -> "StandIn":
        """Stand in for `Tensor.masked_fill`."""
        return _where(mask, value, self)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> "StandIn":
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        function = _FUNCTIONS.get(name)
        if function is not None and "out" not in kwargs:
            return function(*args, **kwargs)
        if (
            args
            and type(args[0]) is not StandIn
            and name in _SWAPPED
            and len(args) == 2
        ):
            swapped: StandIn = getattr(args[1], _SWAPPED[name])(args[0])
            return swapped
        if not args or type(args[0]) is not StandIn or name not in _METHODS:
            raise NotElementwise(f"it calls torch.{name}")
        if kwargs.keys() - {"alpha", "value", "min", "max", "weight", "exponent"}:
            raise NotElementwise(f"it calls torch.{name} with {', '.join(kwargs)}")
        result: StandIn = getattr(args[0], name)(*args[1:], **kwargs)
        return result


_POWERS = frozenset({2.0, 0.5, 3.0, -0.5, -1.0, -2.0})
_UNARY = frozenset(
    [
        "neg",
        "abs",
        "sqrt",
        "rsqrt",
        "reciprocal",
        "square",
        "sign",
        "exp",
        "log",
        "log1p",
        "expm1",
        "tanh",
        "sigmoid",
        "relu",
    ]
)
_BINARY = frozenset(
    ["add", "sub", "mul", "div", "maximum", "minimum", "clamp_min", "clamp_max"]
)
_COMPARE = frozenset(["gt", "ge", "lt", "le", "eq", "ne"])
_METHODS = {
    *(_UNARY | _BINARY | _COMPARE),
    *[
        "lerp",
        "addcmul",
        "addcdiv",
        "clamp",
        "clip",
        "pow",
        "clone",
        "detach",
        "masked_fill",
    ],
    *["multiply", "subtract", "divide", "true_divide", "absolute", "negative", "rsub"],
}
_SWAPPED = {
    "add": "add",
    "mul": "mul",
    "sub": "__rsub__",
    "div": "__rtruediv__",
    "maximum": "maximum",
    "minimum": "minimum",
    "rsub": "sub",
}
_FLOATS = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})


def _number(value: Any) -> float:
    if type(value) is StandIn or isinstance(value, complex | str):
        raise NotElementwise("it mixes tensors of its own with the parameter's")
    if isinstance(value, torch.Tensor) and (value.ndim or value.device.type != "cpu"):
        raise NotElementwise("it uses a tensor that is neither argument nor state")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise NotElementwise(f"it computes with {value!r:.40}") from None


def _emit(first: StandIn, name: str, dtype: torch.dtype, refs: Op) -> StandIn:
    tape = first.tape
    tape.ops.append((name, *refs))
    dtypes = tape.dtypes
    dtypes.append(dtype)
    return StandIn(tape, len(dtypes) - 1, dtype)


def _refs(first: StandIn, *others: Any) -> list[int]:
    """Return references for an operation whose tensors must all have one dtype."""
    refs: list[int] = []
    for other in others:
        if type(other) is not StandIn:
            refs.append(first.tape.constant(other))
        elif other.dtype is first.dtype:
            refs.append(other.id)
        else:
            raise NotElementwise("it mixes dtypes where torch does not")
    return refs


def _cast(value: StandIn, dtype: torch.dtype) -> StandIn:
    if dtype is value.dtype:
        return value
    if dtype not in _FLOATS:
        raise NotElementwise(f"it converts to {dtype}")
    return _emit(value, f"to:{str(dtype)[6:]}", dtype, (value.id,))


def _unary(name: str) -> Callable[[StandIn], StandIn]:
    def method(self: StandIn) -> StandIn:
        return _emit(self, name, self.dtype, (self.id,))

    return method


def _binary(name: str) -> Callable[..., StandIn]:
    with_alpha = f"{name}_alpha"

    def method(self: StandIn, other: Any, alpha: Any = None) -> StandIn:
        tape = self.tape
        dtype = self.dtype
        if type(other) is float:
            constants = tape.constants
            constants.append(other)
            ref = -len(constants)
        elif type(other) is StandIn:
            ref = other.id
            if other.dtype is not dtype:
                dtype = torch.promote_types(dtype, other.dtype)
        else:
            ref = tape.constant(other)
        if dtype not in _FLOATS:
            raise NotElementwise(f"it computes in {dtype}")
        if alpha is None:
            tape.ops.append((name, self.id, ref))
        else:
            tape.ops.append((with_alpha, self.id, ref, tape.constant(alpha)))
        dtypes = tape.dtypes
        dtypes.append(dtype)
        return StandIn(tape, len(dtypes) - 1, dtype)

    return method


def _comparison(name: str) -> Callable[[StandIn, Any], StandIn]:
    def method(self: StandIn, other: Any) -> StandIn:
        return _emit(self, name, torch.bool, (self.id, *_refs(self, other)))

    return method


def _in_place(method: Callable[..., StandIn]) -> Callable[..., StandIn]:
    def changed(self: StandIn, *args: Any, **kwargs: Any) -> StandIn:
        tape = self.tape
        if self.id < tape.n_inputs and self is tape.inputs[self.id]:
            raise ImpureStepError(
                f"step() changes {tape.names[self.id]} in place; an argument must stay "
                "as it is. Return a new tensor: a * b, a.lerp(...), torch.add(...)"
            )
        result = method(self, *args, **kwargs)
        if result.dtype is not self.dtype:
            raise NotElementwise("it changes a tensor in place into another dtype")
        self.id = result.id
        return self

    return changed


def _where(condition: StandIn, a: Any, b: Any) -> StandIn:
    like = a if type(a) is StandIn else b
    if type(condition) is not StandIn or type(like) is not StandIn:
        raise NotElementwise("it calls torch.where with other tensors")
    return _emit(condition, "where", like.dtype, (condition.id, *_refs(like, a, b)))


def _filled(value: Any) -> Callable[..., StandIn]:
    def function(like: StandIn, fill: Any = value, *, dtype: Any = None) -> StandIn:
        dtype = like.dtype if dtype is None else dtype
        if dtype not in _FLOATS:
            raise NotElementwise(f"it makes a tensor of {dtype}")
        return _emit(like, "fill", dtype, (like.tape.constant(fill),))

    return function


_FUNCTIONS: dict[str, Callable[..., StandIn]] = {
    "where": _where,
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "full_like": _filled(math.nan),
}


def _add_methods() -> None:
    methods: dict[str, Any] = {name: _unary(name) for name in _UNARY}
    methods |= {name: _binary(name) for name in _BINARY}
    methods |= {name: _comparison(name) for name in _COMPARE}
    aliases = {"multiply": "mul", "subtract": "sub", "divide": "div"}
    aliases |= {"true_divide": "div", "absolute": "abs", "negative": "neg"}
    methods |= {alias: methods[name] for alias, name in aliases.items()}
    kept = ["lerp", "addcmul", "addcdiv", "clamp", "clip", "pow", "masked_fill"]
    changing = {**methods, **{name: getattr(StandIn, name) for name in kept}}
    for name in _COMPARE:
        del changing[name]
        setattr(StandIn, f"__{name}__", methods[name])
    for name, method in changing.items():
        setattr(StandIn, f"{name}_", _in_place(method))
    for name in ("add", "sub", "mul", "truediv"):
        method = methods["div" if name == "truediv" else name]
        setattr(StandIn, f"__{name}__", method)
        setattr(StandIn, f"__i{name}__", _in_place(method))
    for name in ("add", "mul"):
        setattr(StandIn, f"__r{name}__", methods[name])
    for name, method in methods.items():
        setattr(StandIn, name, method)
    for name in ("neg", "abs"):
        setattr(StandIn, f"__{name}__", methods[name])
    _METHOD.update(methods)


_METHOD: dict[str, Callable[..., StandIn]] = {}
_add_methods()
