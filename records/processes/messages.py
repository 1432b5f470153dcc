"""Messages between the processes of a group: nothing is pickled.

``group`` is one of `torch.distributed`, None for that of all processes; ranks are those
within it. One process without a group is a group of itself. ``groups`` are those of the
dimensions of a grid of processes: through one after the other all reach all.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def n_processes(group: Any = None) -> int:
    """Return how many processes there are in ``group``."""
    return 1 if _is_alone(group) else dist.get_world_size(group)


def rank(group: Any = None) -> int:
    """Return the number of this process in ``group``; 0 if it is the only one."""
    return 0 if _is_alone(group) else dist.get_rank(group)


def broadcast_text(text: str, *, source: int = 0, group: Any = None) -> str:
    """Return the object of process ``source``, on every process of the group."""
    data = text.encode(errors="surrogatepass")
    return broadcast(data, source=source, group=group).decode(errors="surrogatepass")


def broadcast(data: bytes, *, source: int = 0, group: Any = None) -> bytes:
    """Return the bytes of process ``source``, on every process of the group."""
    if _is_alone(group):
        return data
    size = torch.tensor([len(data)], dtype=torch.int64, device=_device(group))
    _exchange(dist.broadcast, size, global_rank(source, group), group)
    content = bytearray(data if rank(group) == source else int(size))
    broadcast_into(memoryview(content), source=source, group=group)
    return bytes(content)


def broadcast_into(memory: memoryview, *, source: int = 0, group: Any = None) -> None:
    """Copy the bytes of process ``source`` to ``memory``, equally long everywhere."""
    if not len(memory) or _is_alone(group):
        return
    target = torch.frombuffer(memory, dtype=torch.uint8)
    message = target.to(_device(group))
    _exchange(dist.broadcast, message, global_rank(source, group), group)
    target.copy_(message)


def gathered(data: bytes, *, group: Any = None) -> list[bytes]:
    """Return the object of each process, in their order, on every process."""
    if _is_alone(group):
        return [data]
    # Messages have equal lengths, so the first exchange has room for short ones, and
    # tells everyone how long they are.
    heads = _gathered_alike(len(data).to_bytes(8, "big") + data[:_SHORT], group)
    sizes = [int.from_bytes(head[:8], "big") for head in heads]
    firsts = [head[8 : 8 + size] for head, size in zip(heads, sizes, strict=True)]
    if max(sizes) <= _SHORT:
        return firsts
    rests = _gathered_alike(data[_SHORT:], group, max(sizes) - _SHORT)
    return [
        beginning + ending[: max(size - _SHORT, 0)]
        for beginning, ending, size in zip(firsts, rests, sizes, strict=True)
    ]


_SHORT = 56
"""Bytes of a message that are sent with its length."""


def _gathered_alike(data: bytes, group: Any, size: int = 8 + _SHORT) -> list[bytes]:
    """Return the bytes of each process, padded to ``size`` bytes."""
    message = torch.zeros(size, dtype=torch.uint8)
    if data:
        message[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    message = message.to(_device(group))
    messages = [torch.empty_like(message) for _ in range(n_processes(group))]
    _exchange(dist.all_gather, messages, message, group)
    return [message.cpu().numpy().tobytes() for message in messages]


def lowest(number: int, *, group: Any = None) -> int:
    """Return the lowest number of the processes of the group."""
    return int(_reduced(number, "MIN", group))


def is_any(flag: bool, *, groups: Sequence[Any] = (None,)) -> bool:
    """Return whether ``flag`` is set on any process of the groups."""
    for group in groups:
        flag = bool(_reduced(int(flag), "MAX", group))
    return flag


def united(texts: Iterable[str], *, groups: Sequence[Any] = (None,)) -> list[str]:
    """Return the strings of all processes of the groups, each once, sorted."""
    union = set(texts)
    for group in groups:
        messages = gathered(json.dumps(sorted(union)).encode(), group=group)
        union.update(*map(json.loads, messages))
    return sorted(union)


def added(numbers: Tensor, *, group: Any = None) -> Tensor:
    """Return the sums over the processes of the group of ``numbers``, on the CPU."""
    if _is_alone(group):
        return numbers.cpu()
    message = numbers.to(_device(group), copy=True)
    _exchange(dist.all_reduce, message, dist.ReduceOp.SUM, group)
    return message.cpu()


def is_running() -> bool:
    """Return whether there is any process group."""
    return dist.is_available() and dist.is_initialized()


def _is_alone(group: Any) -> bool:
    """Return whether this process is the only one.

    RuntimeError for one whose group has ended: it is not the only one because of that,
    and would take its share for the whole.
    """
    if is_running():
        return False
    if group is not None:
        raise RuntimeError(
            "the process group was destroyed while its processes still needed "
            "it: call wait() on background saves before "
            "destroy_process_group(). What was saved before is unchanged"
        )
    return True


def _reduced(number: int, operation: str, group: Any) -> int:
    if _is_alone(group):
        return number
    message = torch.tensor([number], dtype=torch.int64, device=_device(group))
    _exchange(dist.all_reduce, message, getattr(dist.ReduceOp, operation), group)
    return int(message)


def _exchange(operation: Callable[..., object], *arguments: object) -> None:
    """Call ``operation`` of torch; its error states what was waited for."""
    try:
        operation(*arguments)
    except RuntimeError as error:
        error.add_note(
            f"process {rank()} waited here for the other processes: one of them "
            "has ended (look for its error), or does not make the same calls. "
            "What was saved before is unchanged"
        )
        raise


def global_rank(source: int, group: Any) -> int:
    """Return the global rank of process ``source`` of ``group``."""
    return source if group is None else dist.get_global_rank(group, source)


def _device(group: Any) -> torch.device:
    """Return the device for tensors of the group's messages."""
    if dist.get_backend(group) == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
