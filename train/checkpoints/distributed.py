"""Who writes when several processes train one model: the first; the others wait.

What only all of them together could write or continue is refused in words.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...optim.engines.memory.tensor_form import is_sharded


def is_writer() -> bool:
    """Return whether this process is the only one, or the first of its group."""
    return not _is_running() or torch.distributed.get_rank() == 0


def wait_for_writer() -> None:
    """Wait until every process of the group has come here."""
    if _is_running():
        torch.distributed.barrier()


def n_processes() -> int:
    """Return how many processes train together."""
    return torch.distributed.get_world_size() if _is_running() else 1


def refuse_sharded(parts: "Iterable[tuple[str, Any]]") -> None:
    """Raise ValueError for a part whose tensors lie on several processes.

    The first process alone writes, and to gather them takes all.
    """
    for name, part in parts:
        if any(map(is_sharded, _tensors(part))):
            raise ValueError(
                f"{name}: its parameters are sharded over {n_processes()} processes, "
                "and one process writes a checkpoint; save them with "
                "burnish.records.sharded, or gather them first "
                "(torch.distributed.checkpoint.state_dict, full_state_dict=True)"
            )


def check_generators(rng: bool) -> None:
    """Raise ValueError where the generators of one process would become all's."""
    if rng and n_processes() > 1:
        raise ValueError(
            f"rng=True keeps the random generators of one process, and there are "
            f"{n_processes()}: after a resume each would draw the same numbers. Pass "
            "rng=False, and seed each process from its rank and the step"
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


def _tensors(part: object) -> "Iterable[Any]":
    if isinstance(part, nn.Module):
        yield from part.parameters()
        yield from part.buffers()
    elif isinstance(part, torch.optim.Optimizer):
        yield from (p for group in part.param_groups for p in group["params"])
    elif isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, dict):
        for value in part.values():  # pyright: ignore[reportUnknownVariableType]  # items are any value
            yield from _tensors(value)


def _is_running() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized()
