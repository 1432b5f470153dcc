"""Gradients as values: by parameter ID, separate from the module."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ..core.state.identity import named_params
from ..records.entries.entry import Param, ParamId


class Gradients(Mapping[str, Tensor]):
    """The gradients of a module's parameters, by parameter ID."""

    def __init__(self, by_id: Mapping[str, Tensor]) -> None:
        self._by_id = dict(by_id)

    @classmethod
    def from_backward(cls, loss: Tensor, module: nn.Module) -> "Gradients":
        """Return the gradients of ``loss``; ``.grad`` of the parameters is not changed.

        Parameters that ``loss`` does not depend on are left out.
        """
        params = [p for p in named_params(module) if p.tensor.requires_grad]
        grads = torch.autograd.grad(loss, [p.tensor for p in params], allow_unused=True)
        pairs = zip(params, grads, strict=True)
        unused_too: list[tuple[Param, Tensor | None]] = list(pairs)
        return cls({p.id: g for p, g in unused_too if g is not None})

    @classmethod
    def from_module(cls, module: nn.Module) -> "Gradients":
        """Return the ``.grad`` of the parameters, without a copy."""
        params = named_params(module)
        by_id = {p.id: p.tensor.grad for p in params}
        return cls({n: g for n, g in by_id.items() if g is not None})

    def __getitem__(self, param_id: str) -> Tensor:
        return self._by_id[param_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def to(self, device: torch.device | str) -> "Gradients":
        """Return the gradients on ``device``."""
        return Gradients({name: grad.to(device) for name, grad in self.items()})


class GradientsAccumulator:
    """Sums the gradients of several batches; nothing is averaged.

    Those of half precision are summed in float32, and the sums rounded once.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._dtypes: dict[str, torch.dtype] = {}

    def accumulate(self, grads: Mapping[str, Tensor]) -> None:
        """Add ``grads`` to the sums; the given tensors are neither changed nor kept.

        Each batch must identify a parameter by the same ID. Raises ValueError, with no
        sum changed, for a gradient of another shape than those before.
        """
        for name, grad in grads.items():
            self._check_shape(name, grad)
        # One by one, so that no second set of all sums is in memory.
        for name, grad in grads.items():
            param_id, dtype = ParamId(name), self._dtypes.get(name, grad.dtype)
            self._sums[param_id] = self._sum(name, grad.detach())
            self._dtypes[param_id] = torch.promote_types(dtype, grad.dtype)

    def _sum(self, name: str, grad: Tensor) -> Tensor:
        """Return the sum so far with ``grad`` added."""
        total = self._sums.get(name)
        if total is None:
            # A copy, since zero_grad() may overwrite the argument. In half precision,
            # above a certain sum, further summands would be rounded away.
            return grad.to(_summed_in(grad.dtype), copy=True)
        return total + grad

    def _check_shape(self, name: str, grad: Tensor) -> None:
        total = self._sums.get(name)
        if total is not None and grad.shape != total.shape:
            raise ValueError(
                f"{name}: its gradient has shape {tuple(grad.shape)}, but "
                f"earlier ones have {tuple(total.shape)}; the sums are unchanged"
            )

    def grads(self) -> Gradients:
        """Return the sums, in the dtypes of the summands, and start again."""
        sums = {
            name: total.to(self._dtypes[name]) for name, total in self._sums.items()
        }
        self._sums, self._dtypes = {}, {}
        return Gradients(sums)


def _summed_in(dtype: torch.dtype) -> torch.dtype:
    can_round = dtype.is_floating_point or dtype.is_complex
    return torch.promote_types(dtype, torch.float32) if can_round else dtype
