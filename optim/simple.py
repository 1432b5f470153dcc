"""SimpleOptimizer: the class that the author of an optimizer derives from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..records.calls import explain_calls
from .checks import check_betas, check_range
from .tensor_optimizer import State, TensorOptimizer, home_of_field

if TYPE_CHECKING:
    from torch import nn

    from .adaptor import OptimizerAdaptor
    from .clipping import Clip
    from .groups import Group
    from .schedulers.scheduler import Scheduler

__all__ = ["SimpleOptimizer", "check_betas", "check_range"]


class SimpleOptimizer(TensorOptimizer[State]):
    """Updates one tensor at a time; `OptimizerAdaptor` does the rest.

    A subclass is a frozen dataclass whose fields are hyperparameters, with two pure
    functions of one tensor, `init` and `step`. The adaptor walks the module, skips
    parameters without gradients, moves state between devices, saves and loads it, and
    runs the step fast.
    """

    if not TYPE_CHECKING:  # A type checker refuses unknown names itself.

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError; for bound optimizers' methods with the remedy."""
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(
                f"{text}{_cure(type(self), name)}", name=name, obj=self
            )

    @explain_calls(
        "optimizer.bind(net, lr=1e-3{})", "write", is_home=False, cure=home_of_field
    )
    def bind(
        self,
        module: "nn.Module",
        *,
        lr: "float | Scheduler",
        groups: "Sequence[Group]" = (),
        clip: "Clip | None" = None,
        maximize: bool = False,
        state_dtype: Any = None,
        master_dtype: Any = None,
        rounding: str = "nearest",
        seed: int = 0,
        nonfinite: str = "pass",
        fused: bool | None = None,
    ) -> "OptimizerAdaptor":
        """Return a `torch.optim.Optimizer` that steps ``module`` with this."""
        # The adaptor imports the engines, which the class of an optimizer does not
        # need.
        from .adaptor import OptimizerAdaptor

        return OptimizerAdaptor(
            self,
            module,
            lr=lr,
            groups=groups,
            clip=clip,
            maximize=maximize,
            state_dtype=state_dtype,
            master_dtype=master_dtype,
            rounding=rounding,  # type: ignore[arg-type]  # checked there
            seed=seed,
            nonfinite=nonfinite,  # type: ignore[arg-type]  # checked there
            fused=fused,
        )


_OF_BOUND = ("defaults", "param_groups", "state")
"""Instance attributes of every torch optimizer, which its class does not show."""


def _cure(cls: type, name: str) -> str:
    """Explain how to get an attribute that only a bound optimizer has."""
    if name.startswith("_"):
        return ""  # attributes that copy and pickle look up on every object
    from .adaptor import OptimizerAdaptor

    if name not in _OF_BOUND and not hasattr(OptimizerAdaptor, name):
        return ""
    call = f"{cls.__name__}(...).bind(net, lr=1e-3)"
    return (
        f" before it is bound to a module: optimizer = {call} returns an object that "
        "has it"
    )
