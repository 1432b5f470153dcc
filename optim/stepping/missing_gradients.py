"""Gradients that only some of the processes have that share a parameter.

A step that sends messages for each parameter would wait forever for the others.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ...records.processes.messages import added, is_any
from ...records.tensors.shares import groups_of, is_sharded

Pairs = Iterable[tuple[Tensor, Tensor | None]]


def missing_on_some(pairs: Pairs) -> tuple[bool, list[Tensor]]:
    """Return whether any process lacks a gradient that another one has, and of what.

    All processes of the parameters' meshes call this, and get the same answer. The
    parameters are those of this process's meshes.
    """
    by_mesh: dict[Any, list[tuple[Tensor, Tensor | None]]] = {}
    for param, grad in pairs:
        mesh: Any = getattr(param, "device_mesh", None)
        if is_sharded(param) and mesh.get_coordinate() is not None:
            by_mesh.setdefault(mesh, []).append((param, grad))
    params = [p for mesh, rows in by_mesh.items() for p in _on_some_of(mesh, rows)]
    # Always sent: other processes may be in more meshes than this one.
    groups = groups_of(param for rows in by_mesh.values() for param, _ in rows)
    return is_any(bool(params), groups=groups), params


def _on_some_of(mesh: Any, rows: list[tuple[Tensor, Tensor | None]]) -> list[Tensor]:
    counts = torch.tensor([grad is not None for _, grad in rows], dtype=torch.int32)
    for dim in range(mesh.ndim):
        if mesh.size(dim) > 1:
            counts = added(counts, group=mesh.get_group(dim))
    numbers: list[int] = counts.tolist()
    return [
        param
        for (param, _), n_present in zip(rows, numbers, strict=True)
        if 0 < n_present < mesh.size()
    ]
