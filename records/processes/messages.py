"""Messages between the processes of a group: nothing is pickled.

``group`` is one of `torch.distributed`, None for that of all processes; ranks are
those within it. One process without a group is a group of itself. ``groups`` are those
of the dimensions of a grid of processes: through one after the other all hear of all.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def n_processes(group: Any = None) -> int:
    """Return how many processes there are in ``group``."""
    return dist.get_world_size(group) if is_running() else 1


def rank(group: Any = None) -> int:
    """Return the number of this process in ``group``; 0 if it is the only one."""
    return dist.get_rank(group) if is_running() else 0


def broadcast_text(text: str, *, source: int = 0, group: Any = None) -> str:
    """Return what process ``source`` gives, on every process of the group."""
    data = text.encode(errors="surrogatepass")
    return broadcast(data, source=source, group=group).decode(errors="surrogatepass")


def broadcast(data: bytes, *, source: int = 0, group: Any = None) -> bytes:
    """Return the bytes of process ``source``, on every process of the group."""
    if not is_running():
        return data
    size = torch.tensor([len(data)], dtype=torch.int64, device=_device(group))
    dist.broadcast(size, _global_rank(source, group), group)
    content = bytearray(data if rank(group) == source else int(size))
    broadcast_into(memoryview(content), source=source, group=group)
    return bytes(content)


def broadcast_into(memory: memoryview, *, source: int = 0, group: Any = None) -> None:
    """Have the bytes of process ``source`` in ``memory``, as long on every process."""
    if not len(memory) or not is_running():
        return
    target = torch.frombuffer(memory, dtype=torch.uint8)
    message = target.to(_device(group))
    dist.broadcast(message, _global_rank(source, group), group)
    target.copy_(message)


def gathered(data: bytes, *, group: Any = None) -> list[bytes]:
    """Return what each process gives, in their order, on every process."""
    if not is_running():
        return [data]
    device, n = _device(group), n_processes(group)
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(n)]
    size = torch.tensor([len(data)], dtype=torch.int64, device=device)
    dist.all_gather(sizes, size, group)
    # Messages are equally long, so the shorter ones are filled up.
    most = max(int(size) for size in sizes)
    message = torch.zeros(most, dtype=torch.uint8)
    if data:
        message[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    messages = [torch.empty(most, dtype=torch.uint8, device=device) for _ in range(n)]
    dist.all_gather(messages, message.to(device), group)
    return [
        message.cpu().numpy().tobytes()[: int(size)]
        for message, size in zip(messages, sizes, strict=True)
    ]


def lowest(number: int, *, group: Any = None) -> int:
    """Return the lowest number that a process of the group gives."""
    return int(_reduced(number, "MIN", group))


def is_any(flag: bool, *, groups: Sequence[Any] = (None,)) -> bool:
    """Return whether ``flag`` is set on any process of the groups."""
    for group in groups:
        flag = bool(_reduced(int(flag), "MAX", group))
    return flag


def united(texts: Iterable[str], *, groups: Sequence[Any] = (None,)) -> list[str]:
    """Return what all processes of the groups give, each text once, sorted."""
    union = set(texts)
    for group in groups:
        messages = gathered(json.dumps(sorted(union)).encode(), group=group)
        union.update(*map(json.loads, messages))
    return sorted(union)


def added(numbers: Tensor, *, group: Any = None) -> Tensor:
    """Return the sums over the processes of the group of ``numbers``, on the CPU."""
    if not is_running():
        return numbers.cpu()
    message = numbers.to(_device(group), copy=True)
    dist.all_reduce(message, dist.ReduceOp.SUM, group)
    return message.cpu()


def is_running() -> bool:
    """Return whether there is any group of processes."""
    return dist.is_available() and dist.is_initialized()


def _reduced(number: int, operation: str, group: Any) -> int:
    if not is_running():
        return number
    message = torch.tensor([number], dtype=torch.int64, device=_device(group))
    dist.all_reduce(message, getattr(dist.ReduceOp, operation), group)
    return int(message)


def _global_rank(source: int, group: Any) -> int:
    return source if group is None else dist.get_global_rank(group, source)


def _device(group: Any) -> torch.device:
    """Return where tensors of the group's messages lie."""
    if dist.get_backend(group) == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
