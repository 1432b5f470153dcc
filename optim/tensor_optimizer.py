"""TensorOptimizer: two pure functions of one tensor, and hyperparameters as fields."""

import dataclasses
import inspect
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, get_args

from ..config.classes.annotations import annotations_of
from ..config.spelling import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from ..records.record import Record

State = TypeVar("State", bound="Record | None")


class TensorOptimizer(Generic[State]):
    """Updates one tensor at a time: the base that every part of an optimizer uses.

    A subclass is a frozen dataclass whose fields are hyperparameters, with two pure
    functions of one tensor. The adaptor walks the module, skips parameters without
    gradients, moves state between devices, saves and loads it, and runs the step fast.
    """

    batched: ClassVar[bool] = False
    """Whether `step` also takes stacks of matrices; small equal ones are stacked."""
    _fused_kernel: ClassVar[str | None] = None
    """The fused kernel of torch that does this `step`; subclasses do not inherit it."""
    _knows_shares: ClassVar[bool] = False
    """Whether this very `step` is right on DTensors as they are, for it gathers what it
    needs; subclasses do not inherit. Any other one gets whole tensors."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, expected in _PARAMETERS.items():
            _check_parameters(cls, name, expected)

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Refuse an unknown hyperparameter, with the line that works."""
        _refuse_parameters(cls, args, kwargs)
        if "__dataclass_fields__" not in cls.__dict__ and _own_fields(cls):
            raise TypeError(
                f"{cls.__qualname__} has hyperparameters but is not a dataclass; write "
                f"@dataclass(frozen=True, kw_only=True) above class {cls.__qualname__}"
            )
        _refuse_constructor(cls)
        _refuse_missing_init(cls)
        return super().__new__(cls)

    def init(self, tensor: "Tensor") -> State:
        """Return the state before the first step; None (the default) for no state.

        Its tensors are copied: they may alias ``tensor``, which is not changed.
        """
        return None  # type: ignore[return-value]  # the default is for stateless optimizers

    def step(
        self, lr: float, tensor: "Tensor", grad: "Tensor", state: State
    ) -> "tuple[Tensor, State]":
        """Return the new tensor and state; change none of the arguments.

        ``tensor`` and ``grad`` share shape, dtype and device; the tensors of ``state``
        have their own dtype, and must keep it and their shape.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not define step()")

    def to_eval(self, tensor: "Tensor", state: State) -> "Tensor":
        """Return the tensor to evaluate with: ``tensor``, unless it is averaged."""
        return tensor

    def to_train(self, tensor: "Tensor", state: State) -> "Tensor":
        """Return the tensor to train on, given the result of `to_eval`."""
        return tensor


_PARAMETERS = {
    "init": ("tensor",),
    "step": ("lr", "tensor", "grad", "state"),
    "to_eval": ("tensor", "state"),
    "to_train": ("tensor", "state"),
}
"""The arguments that the adaptor passes to each method, by position."""


def _check_parameters(cls: type, method: str, expected: tuple[str, ...]) -> None:
    """Raise TypeError for a method that cannot be called with these arguments."""
    function = getattr(cls, method)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # a callable without a signature
    names = [*signature.parameters]
    is_static = isinstance(inspect.getattr_static(cls, method), staticmethod)
    of_self = () if is_static or inspect.ismethod(function) else ("self",)
    try:
        signature.bind(*of_self, *expected)
    except TypeError:
        order = ""
    else:
        # In another order they would be mixed up, and nothing else would notice.
        if sorted(names) != sorted((*of_self, *expected)):
            return
        if names == [*of_self, *expected]:
            return
        order = " in this order"
    raise TypeError(
        f"{cls.__qualname__}.{method} takes ({', '.join(names)}), but is called with "
        f"these arguments{order}: def {method}(self, {', '.join(expected)})"
    )


def _refuse_constructor(cls: type) -> None:
    """Raise TypeError for hyperparameters that neither files nor groups can hold."""
    constructor = inspect.getattr_static(cls, "__init__")
    if dataclasses.is_dataclass(cls) or constructor is object.__init__:
        return
    names = [*inspect.signature(constructor).parameters][1:]
    if names:
        raise TypeError(
            f"{cls.__qualname__}.__init__ takes {', '.join(names)}, which groups "
            "could not change and files would not hold. Declare hyperparameters as "
            "fields, without an __init__: @dataclass(frozen=True, kw_only=True) above "
            f"class {cls.__qualname__}, and {names[0]}: float = ... in it"
        )


def _refuse_missing_init(cls: type[TensorOptimizer[Any]]) -> None:
    """Raise TypeError for a declared state that nothing would create."""
    if cls.init is not TensorOptimizer.init:
        return
    for base in cls.__mro__:
        for declared in vars(base).get("__orig_bases__", ()):
            for state in get_args(declared):
                if isinstance(state, type) and state is not type(None):
                    name = state.__qualname__
                    raise TypeError(
                        f"{cls.__qualname__} has the state {name} but no init(); "
                        "define it to return the state before the first step: "
                        f"def init(self, tensor): return {name}(...)"
                    )


def check_optimizer(optimizer: object, example: str) -> None:
    """Raise TypeError unless this steps single tensors; ``example`` is the right line.

    ``LBFGS``, for instance, steps a whole module, and torch's optimizers hold their
    parameters.
    """
    if not isinstance(optimizer, TensorOptimizer):
        name = optimizer if isinstance(optimizer, type) else type(optimizer)
        raise TypeError(
            "the optimizer of a group must be a SimpleOptimizer, which steps one "
            f"tensor, got {name.__qualname__}: {example}"
        )


def hyperparameters(optimizer: object) -> dict[str, Any]:
    """Return the hyperparameters by name."""
    if not dataclasses.is_dataclass(optimizer):
        return {}
    return {
        f.name: getattr(optimizer, f.name)
        for f in dataclasses.fields(optimizer)
        if f.init
    }


def home_of_field(args: tuple[Any, ...], keyword: str) -> str | None:
    """Explain how to pass ``keyword`` to the optimizer in ``args``, or why not to."""
    optimizer = args[0]
    if keyword in _OF_TORCH:
        return f"Burnish does not need it: {_OF_TORCH[keyword]}."
    if keyword not in hyperparameters(optimizer):
        return None
    name = type(optimizer).__name__
    return (
        f"It is a hyperparameter of {name}: {name}({keyword}=...).bind(net, lr=1e-3)."
    )


def refuse_options_of_torch(name: str, options: Collection[str]) -> None:
    """Raise TypeError with the reason for options that only torch's optimizers have."""
    for option in sorted(_OF_TORCH.keys() & options):
        raise TypeError(f"{name} has no hyperparameter {option!r}: {_OF_TORCH[option]}")


_OF_TORCH = {
    "foreach": "the engine is automatic (bind(..., fused=...), engine_report)",
    "capturable": "steps are not captured in CUDA graphs",
    "differentiable": "steps are not differentiated",
    "fused": "pass it to bind: bind(net, lr=..., fused=...)",
    "maximize": "pass it to bind: bind(net, lr=..., maximize=True)",
    "master_dtype": "pass it to bind: bind(net, lr=..., master_dtype=...)",
    "state_dtype": "pass it to bind: bind(net, lr=..., state_dtype=...)",
    "rounding": "pass it to bind: bind(net, lr=..., rounding=...)",
}
"""Options that the constructor of simple optimizers does not have, and why."""


def _own_fields(cls: type) -> list[str]:
    """Return the annotated names of a class that a dataclass would make fields."""
    return [
        name
        for name, hint in annotations_of(cls).items()
        if "ClassVar" not in str(hint)
    ]


def _refuse_parameters(
    cls: type, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """Raise TypeError for ``AdamW(net.parameters(), lr=1e-3)``, or ``AdamW(1e-3)``."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    unknown = kwargs.keys() - {field.name for field in fields}
    if unknown:
        refuse_options_of_torch(cls.__name__, unknown)
    takes_tensors = bool(args) and (
        hasattr(args[0], "named_parameters")
        or (isinstance(args[0], Iterable) and not isinstance(args[0], str | tuple))
    )
    is_misplaced = bool(args) and _takes_only_keywords(cls)
    if takes_tensors or is_misplaced or unknown & {"lr", "params"}:
        options = ", ".join(
            f"{k}={v!r}" for k, v in kwargs.items() if k not in ("lr", "params")
        )
        lr = kwargs.get("lr", "1e-3" if takes_tensors or not args else args[0])
        raise TypeError(
            f"{cls.__name__} takes hyperparameters only; the module and the learning "
            f"rate go to bind: {cls.__name__}({options}).bind(net, lr={lr})"
        )
    if unknown:
        _refuse_unknown(cls, unknown)


def _takes_only_keywords(cls: type) -> bool:
    """Return whether a constructor takes no positional arguments; a user's may."""
    parameters = [*inspect.signature(cls.__init__).parameters.values()][1:]  # type: ignore[misc]  # of a class
    return all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)


def _refuse_unknown(cls: type, unknown: set[str]) -> None:
    """Raise TypeError for an unknown hyperparameter, with the most similar one."""
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]  # of a class
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    names = [name for name in parameters if name != "self"]
    for name in sorted(unknown):
        if name not in names:
            hint = did_you_mean(name, names) or f" It has {', '.join(names)}."
            raise TypeError(f"{cls.__name__} has no hyperparameter {name!r}.{hint}")
