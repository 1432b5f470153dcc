"""Recording: a step for one tensor, run on stand-ins, becomes a list of operations.

The operations are the key of a compiled program; the numbers among them (learning
rate, bias corrections) are kept apart, so that schedules never compile anything.
"""

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
        "pool",
        "reads_shape",
        "shared",
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
        self.inputs: list[Any] = []
        """The stand-ins of the inputs."""
        self.pool: list[Any] = []
        """Those of the other values, for the next recording."""
        self.shared = set[int]()
        """Values that two tensors may have in common, or each for itself."""

    def clear(self) -> None:
        """Forget what was recorded; the inputs stay."""
        self.ops = []
        self.constants = []
        del self.dtypes[self.n_inputs :]
        self.reads_shape = False
        if self.shared:
            self.shared.clear()

    def constant(self, value: Any) -> int:
        """Keep a number apart and return how an operation refers to it."""
        if type(value) is not float:
            if isinstance(value, torch.Tensor) and self.like.ndim == 0:
                # Between two tensors of no dimension the wider dtype wins.
                raise NotElementwise("it mixes a scalar parameter with tensors")
            value = _number(value)
        constants = self.constants
        constants.append(value)
        return -len(constants)


_EXACT = 2**53
"""Integers up to here are floats."""


def _number(value: Any) -> float:
    if isinstance(value, complex | str):
        raise NotElementwise("it mixes tensors of its own with the parameter's")
    if isinstance(value, torch.Tensor) and (value.ndim or value.device.type != "cpu"):
        raise NotElementwise("it uses a tensor that is neither argument nor state")
    if isinstance(value, int) and abs(value) > _EXACT:
        raise NotElementwise("it computes with an integer that no float holds")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise NotElementwise(f"it computes with {value!r:.40}") from None
