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


def broadcast_text(text: str) -> str:
    """Return what the first process gives, on every process of the group."""
    if not _is_running():
        return text
    data = text.encode()
    device = _device()
    size = torch.tensor([len(data)], dtype=torch.int64, device=device)
    torch.distributed.broadcast(size, 0)
    if not int(size):
        return ""
    content = torch.empty(int(size), dtype=torch.uint8, device=device)
    if is_writer():
        content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    torch.distributed.broadcast(content, 0)
    return bytes(content.tolist()).decode()


def is_any(flag: bool) -> bool:
    """Return whether ``flag`` is set on any process of the group."""
    if not _is_running():
        return flag
    flags = torch.tensor([int(flag)], dtype=torch.int64, device=_device())
    torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
    return bool(int(flags))


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


def _device() -> torch.device:
    """Return where tensors of the group's messages lie."""
    if torch.distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _is_running() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized()
