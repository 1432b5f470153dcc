"""The operations on stand-ins, each of which is recorded on their tape."""

import math
from collections.abc import Callable
from typing import Any

import torch

from .recording import ImpureStepError, NotElementwise, Op
from .stand_in import StandIn, result

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
    *["lerp", "addcmul", "addcdiv", "clamp", "clip", "pow"],
    *["clone", "detach", "masked_fill"],
    *["multiply", "subtract", "divide", "true_divide", "absolute", "negative", "rsub"],
}
_SWAPPED = {
    "add": "add",
    "mul": "mul",
    "sub": "__rsub__",
    "maximum": "maximum",
    "minimum": "minimum",
}
_FLOATS = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})
_CASTS = {dtype: f"to:{str(dtype).removeprefix('torch.')}" for dtype in _FLOATS}


def _to(self: StandIn, *args: Any, **kwargs: Any) -> StandIn:
    # Steps in half precision convert all the time: the usual call comes first.
    if len(args) == 1 and type(args[0]) is torch.dtype and not kwargs:
        return _cast(self, args[0])
    targets = [*args, *kwargs.values()]
    if len(targets) != 1 or "device" in kwargs or type(targets[0]) is bool:
        raise NotElementwise("it calls to() with more than a dtype")
    target = targets[0]
    dtype = target if isinstance(target, torch.dtype) else target.dtype
    if type(target) is not torch.dtype and type(target) is not StandIn:
        raise NotElementwise("it calls to() with more than a dtype")
    return _cast(self, dtype)


# Arguments of methods have torch's names (`other`, `end`, `min`), by which a step may
# pass them.
def _type_as(self: StandIn, other: StandIn) -> StandIn:
    return _cast(self, other.dtype)


def _converting(dtype: torch.dtype) -> Callable[[StandIn], StandIn]:
    return lambda self: _cast(self, dtype)


def _pow(self: StandIn, exponent: Any) -> StandIn:
    _require_float(self)
    if type(exponent) in (int, float) and float(exponent) in _POWERS:
        return _emit(self, f"pow:{float(exponent)}", self.dtype, (self.id,))
    raise NotElementwise(f"it raises a tensor to the power {exponent!r}")


def _rsub(self: StandIn, other: Any) -> StandIn:
    return _METHOD["add"](_METHOD["neg"](self), other)


def _rtruediv(self: StandIn, numerator: Any) -> StandIn:
    return _METHOD["mul"](_METHOD["reciprocal"](self), numerator)


def _lerp(self: StandIn, end: StandIn, weight: Any) -> StandIn:
    _require_float(self)
    return _emit(self, "lerp", self.dtype, (self.id, *_refs(self, end, weight)))


def _product_added(name: str) -> Callable[..., StandIn]:
    def method(self: StandIn, a: StandIn, b: StandIn, *, value: Any = 1.0) -> StandIn:
        _require_float(self)
        return _emit(self, name, self.dtype, (self.id, *_refs(self, a, b, value)))

    return method


def _clamp(self: StandIn, min: Any = None, max: Any = None) -> StandIn:
    if min is None and max is None:
        raise NotElementwise("it clamps without a limit")
    low = self if min is None else _METHOD["clamp_min"](self, min)
    return low.clone() if max is None else _METHOD["clamp_max"](low, max)


def _where_method(self: StandIn, condition: StandIn, other: Any) -> StandIn:
    return where_stand_in(condition, self, other)


def _masked_fill(self: StandIn, mask: StandIn, value: Any) -> StandIn:
    return where_stand_in(mask, value, self)


def _torch_function(
    cls: type[StandIn], func: Any, types: Any, args: Any = (), kwargs: Any = None
) -> StandIn:
    kwargs = kwargs or {}
    for argument in args:
        if type(argument) is StandIn:
            _ = argument.id  # raises if it was kept from an earlier step
    name = getattr(func, "__name__", str(func))
    if name in ("__get__", "__set__"):
        raise NotElementwise(f"it uses Tensor.{func.__self__.__name__}")
    function = _FUNCTIONS.get(name)
    if function is not None and "out" not in kwargs:
        return function(*args, **kwargs)
    # torch.add(2.0, t) has the number first; the tensor's method records the same.
    is_swapped = len(args) == 2 and type(args[0]) is not StandIn and not kwargs
    if is_swapped and name in _SWAPPED:
        swapped: StandIn = getattr(args[1], _SWAPPED[name])(args[0])
        return swapped
    if not args or type(args[0]) is not StandIn or name not in _METHODS:
        raise NotElementwise(f"it calls torch.{name}")
    if kwargs.keys() - {"alpha", "value", "min", "max", "weight", "exponent"}:
        raise NotElementwise(f"it calls torch.{name} with {', '.join(kwargs)}")
    value: StandIn = getattr(args[0], name)(*args[1:], **kwargs)
    return value


def _emit(operand: StandIn, name: str, dtype: torch.dtype, refs: Op) -> StandIn:
    tape = operand.tape
    tape.ops.append((name, *refs))
    return result(tape, dtype)


def _refs(like: StandIn, *operands: Any) -> list[int]:
    """Return references for an operation whose tensors must all have one dtype."""
    refs: list[int] = []
    for operand in operands:
        if type(operand) is not StandIn:
            refs.append(like.tape.constant(operand))
        elif operand.dtype is like.dtype:
            refs.append(operand.id)
        else:
            raise NotElementwise("it mixes dtypes where torch does not")
    return refs


def _require_float(value: StandIn) -> None:
    """Raise NotElementwise for a mask: torch gives it another dtype, or an error."""
    if value.dtype not in _FLOATS:
        raise NotElementwise(f"it computes in {value.dtype}")


def _cast(value: StandIn, dtype: torch.dtype) -> StandIn:
    if dtype is value.dtype:
        return value
    name = _CASTS.get(dtype)
    if name is None:
        raise NotElementwise(f"it converts to {dtype}")
    return _emit(value, name, dtype, (value.id,))


def round_stand_in(value: StandIn, dtype: torch.dtype) -> StandIn:
    """Record that ``value`` is rounded stochastically; steps cannot request that."""
    return _emit(value, f"round:{str(dtype)[6:]}", dtype, (value.id,))


def _unary(name: str) -> Callable[[StandIn], StandIn]:
    def method(self: StandIn) -> StandIn:
        _require_float(self)
        return _emit(self, name, self.dtype, (self.id,))

    return method


def _binary(name: str) -> Callable[..., StandIn]:
    with_alpha = f"{name}_alpha"

    def method(self: StandIn, other: Any, *, alpha: Any = None) -> StandIn:
        tape = self.tape
        dtype = self.dtype
        number = self.id  # before anything else: it may have been kept
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
            tape.ops.append((name, number, ref))
        elif name not in ("add", "sub"):
            raise NotElementwise(f"it calls {name} with alpha")
        else:
            tape.ops.append((with_alpha, number, ref, tape.constant(alpha)))
        return result(tape, dtype)

    return method


def _comparison(name: str) -> Callable[[StandIn, Any], StandIn]:
    def method(self: StandIn, other: Any) -> StandIn:
        return _emit(self, name, torch.bool, (self.id, *_refs(self, other)))

    return method


def _in_place(method: Callable[..., StandIn]) -> Callable[..., StandIn]:
    def changed(self: StandIn, *args: Any, **kwargs: Any) -> StandIn:
        tape = self.tape
        # Whether a change is visible in both tensors depends on the memory of real
        # ones.
        if self.id in tape.shared:
            raise NotElementwise(
                "it changes the result of contiguous() or .data in place"
            )
        if self.id < tape.n_inputs and self is tape.inputs[self.id]:
            raise ImpureStepError(
                f"step() changes {tape.names[self.id]} in place; arguments must "
                "not be changed. Return a new tensor: a * b, a.lerp(...), "
                "torch.add(...)"
            )
        outcome = method(self, *args, **kwargs)
        if outcome.dtype is not self.dtype:
            raise NotElementwise("it changes the dtype of a tensor in place")
        # The stand-in becomes its result: values computed from it before refer to the
        # old ID, which is kept.
        self.id = outcome.id
        return self

    return changed


def where_stand_in(condition: StandIn, a: Any, b: Any) -> StandIn:
    """Record ``torch.where``, one of whose choices may be a number."""
    like = a if type(a) is StandIn else b
    if type(condition) is not StandIn or type(like) is not StandIn:
        raise NotElementwise("it calls torch.where with other tensors")
    if condition.dtype is not torch.bool:
        raise NotElementwise("it calls torch.where with a condition that is not a mask")
    return _emit(condition, "where", like.dtype, (condition.id, *_refs(like, a, b)))


def _filled(value: Any) -> Callable[..., StandIn]:
    def function(like: StandIn, fill: Any = value, *, dtype: Any = None) -> StandIn:
        dtype = like.dtype if dtype is None else dtype
        if dtype not in _FLOATS:
            raise NotElementwise(f"it creates a tensor of {dtype}")
        # It needs no value, but must not be recorded on the tape of an earlier step.
        _ = like.id
        return _emit(like, "fill", dtype, (like.tape.constant(fill),))

    return function


_FUNCTIONS: dict[str, Callable[..., StandIn]] = {
    "where": where_stand_in,
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "full_like": _filled(math.nan),
}


def _add_methods() -> None:
    """Add the operations, their in-place forms and operators to the stand-in."""
    computed: dict[str, Any] = {name: _unary(name) for name in _UNARY}
    computed |= {name: _binary(name) for name in _BINARY}
    compared = {name: _comparison(name) for name in _COMPARE}
    aliases = {"multiply": "mul", "subtract": "sub", "divide": "div"}
    aliases |= {"true_divide": "div", "absolute": "abs", "negative": "neg"}
    computed |= {alias: computed[name] for alias, name in aliases.items()}
    computed |= {n: _product_added(n) for n in ("addcmul", "addcdiv")}
    computed |= {"lerp": _lerp, "pow": _pow}
    computed |= {"clamp": _clamp, "clip": _clamp, "masked_fill": _masked_fill}
    _METHOD.update(computed, **compared)
    for name, method in computed.items():
        setattr(StandIn, f"{name}_", _in_place(method))
    conversions = {
        "to": _to,
        "type_as": _type_as,
        "where": _where_method,
        "rsub": _rsub,
    }
    conversions |= {name: _converting(dtype) for name, dtype in _CONVERSIONS.items()}
    for name, method in {**_METHOD, **conversions}.items():
        setattr(StandIn, name, method)
    operators = {f"__{name}__": computed[name] for name in ("add", "sub", "mul")}
    operators |= {"__truediv__": computed["div"], "__pow__": _pow}
    operators |= {f"__i{name[2:]}": _in_place(m) for name, m in operators.items()}
    operators |= {"__radd__": computed["add"], "__rmul__": computed["mul"]}
    operators |= {"__rsub__": _rsub, "__rtruediv__": _rtruediv}
    operators |= {"__neg__": computed["neg"], "__abs__": computed["abs"]}
    operators |= {f"__{name}__": method for name, method in compared.items()}
    operators["__torch_function__"] = classmethod(_torch_function)
    for name, method in operators.items():
        setattr(StandIn, name, method)


_CONVERSIONS = {
    "float": torch.float32,
    "double": torch.float64,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
}
_METHOD: dict[str, Callable[..., StandIn]] = {}
_add_methods()
