"""Shares: parameters distributed over processes, stepped where their elements are."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import is_
from typing import Any

from torch import Tensor

from ...records.tensors.shares import own_share
from .bucket import Bucket, Engine, Job
from .tracing.step_call import StepCall


@dataclass(slots=True)
class Share:
    """The part of this process of a parameter, its gradient and its state."""

    param: Tensor
    grad: Tensor
    fields: dict[str, Any]


def share_of_step(param: Any, grad: Any, fields: dict[str, Any]) -> Share | None:
    """Return what an elementwise step needs of a DTensor in this process.

    None for other tensors, and if its gradient or state are distributed differently.
    """
    if not hasattr(param, "device_mesh"):
        return None
    tensors = [v for v in fields.values() if isinstance(v, Tensor)]
    if any(p.is_partial() for p in param.placements) or not are_alike(
        param, [grad, *tensors]
    ):
        return None
    local = {k: own_share(v) if isinstance(v, Tensor) else v for k, v in fields.items()}
    return Share(own_share(param), _grad_of(own_share(param), grad), local)


def are_alike(param: Any, tensors: Iterable[Any]) -> bool:
    """Return whether all are sharded as ``param`` is, over the same processes."""
    mesh, placements, shape = param.device_mesh, param.placements, param.shape
    for tensor in tensors:
        if getattr(tensor, "placements", None) != placements or tensor.shape != shape:
            return False
        if tensor.device_mesh is not mesh and tensor.device_mesh != mesh:
            return False
    return True


def _grad_of(share: Tensor, grad: Tensor) -> Tensor:
    local = own_share(grad)
    # An empty tensor has no order of elements, though torch may report another one.
    return local if local.numel() else share


class OnShares:
    """Runs an engine on this process's shares of a bucket's tensors."""

    keeps_addresses = False

    def __init__(self, engine: Engine, shares: Bucket) -> None:
        self.engine, self.shares = engine, shares
        self.name = engine.name
        self.computes_ahead = engine.computes_ahead
        self._states = [t for column in shares.columns for t in column]

    def fits(self, bucket: Bucket, grads: list[Tensor]) -> bool:
        """Return whether tensors and gradients are still distributed as planned."""
        shares = self.shares
        if not (
            all(map(is_, map(own_share, bucket.params), shares.params))
            and self._has_states(bucket)
            and all(map(_is_spread_as, bucket.params, grads))
        ):
            return False
        return shares.fits(self._grads(grads))

    def _has_states(self, bucket: Bucket) -> bool:
        tensors = (tensor for column in bucket.columns for tensor in column)
        return all(map(is_, map(own_share, tensors), self._states))

    def _grads(self, grads: list[Tensor]) -> list[Tensor]:
        return list(map(_grad_of, self.shares.params, grads))

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> Job:
        """Return what writes the step; see `Engine`."""
        shares = self.shares
        shares.renewals = bucket.renewals
        run = self.engine.prepare(shares, self._grads(grads), step)

        def job() -> None:
            run()
            # The states are the bucket's own, so that their numbers are written.
            bucket.scalars = shares.scalars

        return job


def _is_spread_as(param: Any, grad: Any) -> bool:
    is_alike: bool = getattr(grad, "placements", None) == param.placements
    return is_alike and bool(grad.device_mesh == param.device_mesh)
