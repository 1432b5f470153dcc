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


def n_processes() -> int:
    """Return how many processes train together."""
    return torch.distributed.get_world_size() if _is_running() else 1


def rank() -> int:
    """Return the number of this process in its group; 0 if it is the only one."""
    return torch.distributed.get_rank() if _is_running() else 0


def broadcast_text(text: str, *, source: int = 0) -> str:
    """Return what process ``source`` gives, on every process of the group."""
    if not _is_running():
        return text
    data = text.encode(errors="surrogatepass")
    size = torch.tensor([len(data)], dtype=torch.int64, device=_device())
    torch.distributed.broadcast(size, source)
    content = bytearray(data if rank() == source else int(size))
    broadcast_into(memoryview(content), source=source)
    return content.decode(errors="surrogatepass")


def broadcast_into(memory: memoryview, *, source: int = 0) -> None:
    """Have the bytes of process ``source`` in ``memory``, as long on every process."""
    if not len(memory) or not _is_running():
        return
    target = torch.frombuffer(memory, dtype=torch.uint8)
    message = target.to(_device())
    torch.distributed.broadcast(message, source)
    target.copy_(message)


def gathered(data: bytes) -> list[bytes]:
    """Return what each process gives, in their order, on every process."""
    if not _is_running():
        return [data]
    device, n = _device(), n_processes()
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(n)]
    size = torch.tensor([len(data)], dtype=torch.int64, device=device)
    torch.distributed.all_gather(sizes, size)
    # Messages are equally long, so the shorter ones are filled up.
    most = max(int(size) for size in sizes)
    message = torch.zeros(most, dtype=torch.uint8)
    if data:
        message[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    messages = [torch.empty(most, dtype=torch.uint8, device=device) for _ in range(n)]
    torch.distributed.all_gather(messages, message.to(device))
    return [
        message.cpu().numpy().tobytes()[: int(size)]
        for message, size in zip(messages, sizes, strict=True)
    ]


def lowest(number: int) -> int:
    """Return the lowest number that a process of the group gives."""
    if not _is_running():
        return number
    message = torch.tensor([number], dtype=torch.int64, device=_device())
    torch.distributed.all_reduce(message, torch.distributed.ReduceOp.MIN)
    return int(message)


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
    if not _is_running():
        return  # to ask thousands of tensors takes a third of a save
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
