"""The share of a tensor that one process keeps where every process has the whole."""

from inspect import signature
from typing import Any

from torch import Tensor


def share_of(tensor: Tensor, like: Any) -> Any:
    """Return ``tensor`` as a DTensor that is spread as the DTensor ``like`` is.

    Nothing is sent between processes, so that one alone may do it.
    """
    from torch.distributed.tensor import DTensor, Replicate, distribute_tensor

    mesh, placements = like.device_mesh, like.placements
    tensor = tensor.to(mesh.device_type)
    if "src_data_rank" in signature(distribute_tensor).parameters:
        return distribute_tensor(tensor, mesh, placements, src_data_rank=None)
    # Older torch lets the first process send the values; from one that is everywhere
    # already, each cuts its own share.
    everywhere = [Replicate()] * mesh.ndim
    return DTensor.from_local(tensor, mesh, everywhere, run_check=False).redistribute(
        mesh, placements
    )
