"""A group for the messages of a thread, separate from those of the training."""

from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from torch import distributed as dist

from ..tensors.torch_internals import set_group_timeout
from .messages import is_running, n_processes

_HOURS = 24
"""How long a thread waits for the other processes, whose disks may be slow."""


def background_group() -> Any:
    """Return a group of all processes, always the same; all of them call this.

    None for a single process. It communicates through main memory, whatever the
    program's own group does.
    """
    if n_processes() == 1 or not is_running():
        return None
    world = dist.group.WORLD
    group = _groups.get(world)
    if group is None:
        # A process that dies now is noticed as soon as torch notices it: only processes
        # that have met may wait for hours.
        group = dist.new_group(backend="gloo")
        set_group_timeout(group, timedelta(hours=_HOURS))
        _groups[world] = group
    return group


_groups: "WeakKeyDictionary[Any, Any]" = WeakKeyDictionary()
