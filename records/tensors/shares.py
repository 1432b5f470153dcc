"""Tensors distributed over processes (DTensors), and the share of each process."""

from collections.abc import Iterable
from inspect import signature
from typing import Any

from torch import Tensor
from torch import distributed as dist

from .torch_internals import local_part


def share_of(tensor: Tensor, like: Any) -> Any:
    """Return ``tensor`` as a DTensor that is distributed like the DTensor ``like``.

    No messages are sent, so that one process alone may do it.
    """
    from torch.distributed.tensor import DTensor, Replicate, distribute_tensor

    mesh, placements = like.device_mesh, like.placements
    tensor = tensor.to(mesh.device_type)
    if "src_data_rank" in signature(distribute_tensor).parameters:
        return distribute_tensor(tensor, mesh, placements, src_data_rank=None)
    # Older torch sends the values from the first process; of a replicated tensor, each
    # process takes its own share.
    everywhere = [Replicate()] * mesh.ndim
    return DTensor.from_local(tensor, mesh, everywhere, run_check=False).redistribute(
        mesh, placements
    )


def is_sharded(tensor: Any) -> bool:
    """Return whether ``tensor`` is on more than one process (a DTensor)."""
    mesh = getattr(tensor, "device_mesh", None)
    return mesh is not None and mesh.size() > 1


def spread_of(tensor: Any) -> tuple[Any, ...]:
    """Return how ``tensor`` is distributed over processes: empty if it is not."""
    mesh = getattr(tensor, "device_mesh", None)
    return () if mesh is None else (mesh, tuple(tensor.placements))


def own_share(tensor: Tensor) -> Tensor:
    """Return this process's part of ``tensor``, in its own memory."""
    return local_part(tensor) if hasattr(tensor, "device_mesh") else tensor


def shares_of_both(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return this process's parts of two tensors; of a plain one where the other is.

    No messages are sent; two that are distributed differently have shares of different
    places.
    """
    if hasattr(a, "device_mesh") and not hasattr(b, "device_mesh"):
        return own_share(a), own_share(share_of(b, a))
    if hasattr(b, "device_mesh") and not hasattr(a, "device_mesh"):
        return own_share(share_of(a, b)), own_share(b)
    return own_share(a), own_share(b)


def spread_as(like: Any, tensor: Any) -> Any:
    """Return ``tensor`` distributed over the processes like ``like``, if both are."""
    before, after = (
        getattr(tensor, "placements", None),
        getattr(like, "placements", None),
    )
    if before is None or after is None or before == after:
        return tensor
    return tensor.redistribute(like.device_mesh, after)


def spread(share: Tensor, like: Any) -> Any:
    """Return a DTensor like ``like``, of which this process has ``share``."""
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        share,
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )


def zero_share(like: Any) -> Any:
    """Return zeros distributed like the DTensor ``like``, without memory."""
    share = own_share(like)
    return spread(share.new_zeros(()).expand(share.shape), like)


def groups_of(tensors: Iterable[Any]) -> list[Any]:
    """Return the process groups that ``tensors`` are distributed over, each once.

    They come in the order of the tensors, which is the same on all processes.
    """
    # Checking thousands of tensors takes a third of a save.
    if not (dist.is_available() and dist.is_initialized()):
        return []
    meshes = dict.fromkeys(t.device_mesh for t in tensors if is_sharded(t))
    return [
        mesh.get_group(dim)
        for mesh in meshes
        # A process outside of a mesh is in none of its groups.
        if mesh.get_coordinate() is not None
        for dim in range(mesh.ndim)
        if mesh.size(dim) > 1
    ]
