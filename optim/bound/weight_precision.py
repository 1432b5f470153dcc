"""WeightPrecision: the dtypes in which a weight and its state are kept and computed."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..engines.memory.tensor_form import is_plain_tensor, stepped_tensor
from ..engines.tracing.extended_state import (
    MASTER,
    ROUNDING_KEY,
    ROUNDING_STEP,
    extended,
)
from ..engines.tracing.stochastic_rounding import ROUNDED_DTYPES, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightPrecision:
    """The dtype options of `bind`, and their consequences for each parameter."""

    state_dtype: torch.dtype | None = None
    """The dtype of states; None for that of the stepped tensor: master or parameter."""
    master_dtype: torch.dtype | None = None
    """The dtype of master weights; None for none."""
    rounding: Literal["nearest", "stochastic"] = "nearest"
    """The rounding of half-precision weights after a step."""
    seed: int = 0
    """The seed of the random bits of stochastic rounding."""

    def has_master(self, param: Tensor) -> bool:
        """Return whether the weight is narrower than a master would be."""
        wide = self.master_dtype
        return wide is not None and is_narrower(param, wide)

    def rounds(self, param: Tensor) -> bool:
        """Return whether the weight is rounded stochastically after a step."""
        return self.rounding == "stochastic" and param.dtype in ROUNDED_DTYPES

    def state_dtype_of(self, param: Tensor) -> torch.dtype:
        """Return the parameter's dtype in the call of `init`."""
        stepped = self.master_dtype if self.has_master(param) else None
        return self.state_dtype or stepped or param.dtype

    def compute_dtype(self, param: Tensor) -> torch.dtype:
        """Return the dtype of a step's computation, if its state is not wider."""
        wide = torch.promote_types(self.state_dtype or param.dtype, param.dtype)
        if self.has_master(param) and self.master_dtype is not None:
            wide = torch.promote_types(wide, self.master_dtype)
        return torch.promote_types(wide, torch.float32) if self.rounds(param) else wide

    def blank(self, param: Tensor, state: object) -> Any:
        """Return an author's state with what is kept for ``param``, without values."""
        if self.rounds(param):
            return extended(state, rounding_step=0, rounding_key=0)
        if not self.has_master(param):
            return state
        tensor, dtype = stepped_tensor(param), self.master_dtype
        if is_plain_tensor(param):
            return extended(
                state, master=torch.empty_like(tensor, dtype=dtype, device="meta")
            )
        return extended(state, master=torch.zeros_like(tensor, dtype=dtype))

    def beside(
        self, param: Tensor, path: str, present: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return what is kept for ``param`` beside its state and is not ``present``."""
        if self.rounds(param):
            fields = {ROUNDING_STEP: 0, ROUNDING_KEY: key_of(self.seed, path)}
            return {k: v for k, v in fields.items() if k not in present}
        if MASTER in present or not self.has_master(param):
            return {}
        return {MASTER: stepped_tensor(param).to(self.master_dtype)}


def is_narrower(param: Tensor, dtype: torch.dtype) -> bool:
    """Return whether ``dtype`` is wider: it has every value of ``param``, and more."""
    return (
        param.is_floating_point()
        and param.dtype is not dtype
        and torch.promote_types(param.dtype, dtype) is dtype
    )
