"""Tensors of which each process has a part."""

from typing import Any


def is_sharded(tensor: Any) -> bool:
    """Return whether ``tensor`` lies on more than one process (a DTensor)."""
    mesh = getattr(tensor, "device_mesh", None)
    return mesh is not None and mesh.size() > 1
