"""SimpleOptimizer: what the author of an optimizer writes, and nothing else."""

import dataclasses
import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..records.record import Record
    from .adaptor import OptimizerAdaptor
    from .clipping import Clip
    from .groups import Group
    from .schedulers.scheduler import Scheduler

State = TypeVar("State", bound="Record | None")


class SimpleOptimizer(Generic[State]):
    """Update one tensor at a time; `OptimizerAdaptor` does the rest.

    A subclass is a frozen dataclass whose fields are hyperparameters, with two pure
    functions of one tensor. The adaptor walks the module, skips what has no gradient,
    moves state between devices, saves and loads it, and runs the step fast.
    """

    batched: ClassVar[bool] = False
    """Whether `step` also takes stacks of matrices; small equal ones then go in one."""

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Return the result."""
        _refuse_parameters(cls, args, kwargs)
        if "__dataclass_fields__" not in cls.__dict__ and _own_fields(cls):
            raise TypeError(
                f"{cls.__qualname__} has hyperparameters but is no dataclass; write "
                f"@dataclass(frozen=True, kw_only=True) above class {cls.__qualname__}"
            )
        return super().__new__(cls)

    def init(self, tensor: "Tensor") -> State:
        """Return the state before the first step; None (the default) for no state.

        Its tensors are copied: they may alias ``tensor``, which stays as it is.
        """
        return None  # type: ignore[return-value]  # the default is for stateless optimizers

    def step(
        self, lr: float, tensor: "Tensor", grad: "Tensor", state: State
    ) -> "tuple[Tensor, State]":
        """Return the new tensor and state; change none of the arguments.

        ``tensor`` and ``grad`` share shape, dtype and device; the tensors of
        ``state`` keep their own dtype, and must keep it and their shape.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not define step()")

    def to_eval(self, tensor: "Tensor", state: State) -> "Tensor":
        """Return the tensor to evaluate with: ``tensor``, unless weights average."""
        return tensor

    def to_train(self, tensor: "Tensor", state: State) -> "Tensor":
        """Return the tensor to train on, given what `to_eval` returned."""
        return tensor

    def bind(
        self,
        module: "nn.Module",
        *,
        lr: "float | Scheduler",
        groups: "Sequence[Group]" = (),
        clip: "Clip | None" = None,
        maximize: bool = False,
        state_dtype: Any = None,
        nonfinite: str = "pass",
        fused: bool | None = None,
    ) -> "OptimizerAdaptor":
        """Return a `torch.optim.Optimizer` that steps ``module`` with this."""
        from .adaptor import OptimizerAdaptor

        return OptimizerAdaptor(
            self,
            module,
            lr=lr,
            groups=groups,
            clip=clip,
            maximize=maximize,
            state_dtype=state_dtype,
            nonfinite=nonfinite,  # type: ignore[arg-type]  # checked there
            fused=fused,
        )


def hyperparameters(simple: "SimpleOptimizer[Any]") -> dict[str, Any]:
    """Return the hyperparameters by name."""
    if not dataclasses.is_dataclass(simple):
        return {}
    return {
        f.name: getattr(simple, f.name) for f in dataclasses.fields(simple) if f.init
    }


def check_range(
    name: str, value: float, low: float, high: float = float("inf")
) -> None:
    """Raise ValueError unless ``low <= value < high``; an infinite end is left out."""
    if not low <= value < high:
        bounds = (
            f"at least {low:g}" if high == float("inf") else f"in [{low:g}, {high:g})"
        )
        raise ValueError(f"{name} must be {bounds}, got {value}")


def check_betas(betas: tuple[float, ...], count: int = 2) -> None:
    """Raise ValueError unless ``betas`` are ``count`` numbers in [0, 1)."""
    if len(betas) != count:
        raise ValueError(f"betas must be {count} numbers, got {betas}")
    for i, beta in enumerate(betas):
        check_range(f"betas[{i}]", beta, 0.0, 1.0)


def _own_fields(cls: type) -> list[str]:
    """Return the annotated names of a class that a dataclass would make fields."""
    return [
        name
        for name, hint in inspect.get_annotations(cls).items()
        if "ClassVar" not in str(hint)
    ]


def _refuse_parameters(
    cls: type, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """Raise TypeError for ``AdamW(net.parameters(), lr=1e-3)``, torch's habit."""
    names = (
        {f.name for f in dataclasses.fields(cls)}
        if dataclasses.is_dataclass(cls)
        else set[str]()
    )
    takes_first = bool(args) and not isinstance(
        args[0], int | float | str | bool | tuple
    )
    if (
        (takes_first and isinstance(args[0], Iterable))
        or _is_module(args)
        or (kwargs.keys() & {"lr", "params"} - names)
    ):
        rest = ", ".join(
            f"{k}={v!r}" for k, v in kwargs.items() if k not in ("lr", "params")
        )
        lr = kwargs.get("lr", "1e-3")
        raise TypeError(
            f"{cls.__name__} takes hyperparameters only; the module and the learning "
            f"rate go to bind: {cls.__name__}({rest}).bind(net, lr={lr})"
        )


def _is_module(args: tuple[object, ...]) -> bool:
    return bool(args) and hasattr(args[0], "named_parameters")
