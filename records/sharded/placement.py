"""The distribution of a program's DTensors: as layouts, and as rectangles."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..errors import RecordError
from ..tensors.shares import own_share
from .layout import Layout, Rectangle


def layout_of(tensor: Any, path: str) -> Layout | None:
    """Return the layout of a DTensor over its mesh; None if no layout describes it.

    RecordError that names ``path`` for one that holds partial sums.
    """
    placements = tuple(tensor.placements)
    if any(placement.is_partial() for placement in placements):
        raise RecordError(
            f"{path}: its placements are {placements}, so no process has its "
            "full values; reduce them first: tensor.redistribute(placements=...)"
        )
    return _layout(tensor.device_mesh, placements)


def rectangle_of(tensor: Any, path: str) -> Rectangle | None:
    """Return the rows of a DTensor in this process; None if they are unknown."""
    layout = layout_of(tensor, path)
    place = tensor.device_mesh.get_coordinate()
    if layout is None or place is None:
        return None
    rectangle = _rectangle(layout, tuple(tensor.shape), tuple(place))
    return rectangle if rectangle.sizes == tuple(own_share(tensor).shape) else None


def is_alike(tensor: Any, twin: Any) -> bool:
    """Return whether two DTensors are distributed alike; False for other tensors."""
    return (
        hasattr(tensor, "device_mesh")
        and hasattr(twin, "device_mesh")
        and tuple(tensor.placements) == tuple(twin.placements)
        and bool(tensor.device_mesh == twin.device_mesh)
    )


def rectangle_by_torch(tensor: Any, path: str) -> Rectangle:
    """Return the same where no layout describes it, as torch computes it."""
    from torch.distributed.tensor._utils import (
        compute_local_shape_and_global_offset,
    )

    sizes, offsets = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    if tuple(sizes) != tuple(own_share(tensor).shape):
        raise RecordError(
            f"{path}: a DTensor with placements {tuple(tensor.placements)}, whose part "
            f"in this process, {tuple(own_share(tensor).shape)}, is not a "
            "rectangle of it"
        )
    return Rectangle(tuple(offsets), tuple(sizes))


@lru_cache(maxsize=4096)
def _rectangle(layout: Layout, shape: tuple[int, ...], place: Any) -> Rectangle:
    # Thousands of parameters have few different shapes.
    return layout.rectangle(shape, place)


@lru_cache(maxsize=64)
def _layout(mesh: Any, placements: tuple[Any, ...]) -> Layout | None:
    cuts: list[tuple[int, int]] = []
    later: list[int] = []
    for i, placement in enumerate(placements):
        if placement.is_replicate():
            continue
        if hasattr(placement, "split_factor"):
            later.append(i)
        elif placement.is_shard():
            cuts.append((i, placement.dim))
        else:
            return None
    for i in reversed(later):
        place = _place_of_strided(i, placements[i], cuts, mesh.shape)
        if place is None:
            return None
        cuts.insert(place, (i, placements[i].dim))
    return Layout(tuple(mesh.shape), tuple(mesh.mesh.flatten().tolist()), tuple(cuts))


def _place_of_strided(
    i: int, placement: Any, cuts: Sequence[tuple[int, int]], grid: Sequence[int]
) -> int | None:
    """Return after how many of ``cuts`` a strided placement shards; None if unknown.

    Later dimensions of the mesh have sharded the tensor before: its factor is the
    number of pieces.
    """
    factor = placement.split_factor
    for n, (grid_dim, dim) in enumerate(cuts):
        if factor == 1:
            return n
        if grid_dim > i and dim == placement.dim:
            factor, remainder = divmod(factor, grid[grid_dim])
            if remainder:
                return None
    return len(cuts) if factor == 1 else None
