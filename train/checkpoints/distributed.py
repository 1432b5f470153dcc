"""Who writes when several processes train one model: the first; the others wait.

What only all of them together could write or continue is refused in words.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...records.processes.messages import is_running, n_processes, rank
from ...records.tensors.shares import is_sharded


def is_writer() -> bool:
    """Return whether this process is the only one, or the first of its group."""
    return rank() == 0


def refuse_sharded(parts: "Iterable[tuple[str, Any]]") -> None:
    """Raise ValueError for a part whose tensors lie on several processes.

    The first process alone writes, and to gather them takes all.
    """
    if not is_running():
        return  # to ask thousands of tensors takes a third of a save
    for name, part in parts:
        if any(map(is_sharded, tensors_of(part))):
            raise ValueError(
                f"{name}: its parameters are sharded over {n_processes()} processes, "
                "and one process writes a checkpoint; save them with "
                "burnish.records.sharded, or gather them first "
                "(torch.distributed.checkpoint.state_dict, full_state_dict=True)"
            )


def local_folder(folder: "str | os.PathLike[str]") -> Path:
    """Return ``folder`` as an absolute path. Raises ValueError for a URL."""
    text = os.fspath(folder)
    if "://" in text:
        raise ValueError(
            f"{text} is a URL, and checkpoints are folders of this machine, which "
            "appear whole or not at all; write to a local folder and copy it there"
        )
    # A run that changes its directory goes on with the same checkpoints.
    return Path(folder).absolute()


def tensors_of(part: object) -> "Iterable[Any]":
    """Yield the tensors that the object of a part has by now."""
    if isinstance(part, nn.Module):
        yield from part.parameters()
        yield from part.buffers()
    elif isinstance(part, torch.optim.Optimizer):
        yield from (p for group in part.param_groups for p in group["params"])
    elif isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, dict):
        for value in part.values():  # pyright: ignore[reportUnknownVariableType]  # items are any value
            yield from tensors_of(value)
