"""Is saving with checksums as fast as the quickest peer, whole and in half precision?

Peer: `safetensors.torch.save_file`, which neither hashes nor syncs, on the state dict.
The floor of many small tensors is a save by hand: a list of names, and each payload
converted with its neighbors, hashed, and written with them.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgpack
import torch
import xxhash
from harness import MIB, Row, extra_memory, no_fsync, race, scratch
from models import ManyLinear, gpt2, many_tensors
from peers import save_safetensors
from torch import Tensor, nn

import burnish

MANY = 1000
"""Tensors from which on there is a floor."""
GROUP = 64
"""Tensors that are converted and written together."""

State = Callable[[], dict[str, Tensor]]


class Bounds(NamedTuple):
    """What a save may take of the peer's time: CPU of one thread, wall of two."""

    full: float
    full_wall: float
    half: float
    half_wall: float


class Save(Protocol):
    """Write to a file, at a precision."""

    def __call__(
        self, file: str, *, precision: Literal["half"] | None = None
    ) -> object: ...


def run() -> list[Row]:
    torch.set_num_threads(1)
    large, small, record = gpt2(), ManyLinear(), many_tensors()
    one, many = Bounds(1.1, 1.0, 0.75, 0.6), Bounds(0.5, 0.45, 0.35, 0.4)
    cases: list[tuple[str, Save, State, Bounds]] = [
        ("GPT-2, 124 M", of_module(large), lambda: untied(large), one),
        ("5,000 of 64x64, module", of_module(small), lambda: untied(small), many),
        ("5,000 of 64x64, record", of_dict(record), lambda: record, many),
    ]
    rows: list[Row] = []
    # Before the races, which leave the allocator's heap full of holes.
    for case, save, state, *_ in cases:
        with scratch() as folder, no_fsync():
            rows += memory_rows(folder, case, save, state)
    for case, save, state, bounds in cases:
        with scratch() as folder, no_fsync():
            rows += speed_rows(folder, case, save, state, None, bounds)
            rows += speed_rows(folder, case, save, state, "half", bounds)
    return rows


def of_module(module: nn.Module) -> Save:
    def save(file: str, *, precision: Literal["half"] | None = None) -> None:
        burnish.save_record(module, file, precision=precision)

    return save


def of_dict(tensors: dict[str, Tensor]) -> Save:
    record = burnish.Record.from_state_dict(tensors)
    return record.save


def untied(module: nn.Module) -> dict[str, Tensor]:
    """Return the state dict without aliases, which safetensors refuses."""
    state = module.state_dict()
    state.pop("lm_head.weight", None)
    return state


def memory_rows(folder: str, case: str, save: Save, state: State) -> list[Row]:
    mine, theirs = f"{folder}/net.mpk", f"{folder}/net.safetensors"
    full = extra_memory(lambda: save(mine)).peak / MIB
    half = extra_memory(lambda: save(mine, precision="half")).peak / MIB
    peer = extra_memory(lambda: save_as_half(state, theirs)).peak / MIB
    return [
        Row.bounded("save full, extra memory", case, full, "MiB", at_most=8),
        Row.bounded("save half, extra memory", case, half, "MiB", peer=peer, at_most=8),
    ]


def speed_rows(
    folder: str,
    case: str,
    save: Save,
    state: State,
    precision: Literal["half"] | None,
    bounds: Bounds,
) -> list[Row]:
    """Return what a save takes of the peer's time, and two threads of others'."""
    mine, theirs = f"{folder}/net.mpk", f"{folder}/net.safetensors"
    save(mine, precision=precision)
    content = Path(mine).read_bytes()

    def on(threads: int) -> None:
        torch.set_num_threads(threads)
        save(mine, precision=precision)
        torch.set_num_threads(1)

    def peer() -> None:
        save_as_half(state, theirs) if precision else save_safetensors(state(), theirs)

    runners = {
        "1 thread": lambda: on(1),
        "safetensors": peer,
        "write() alone": lambda: Path(mine).write_bytes(content),
        "2 threads": lambda: on(2),
    }
    tensors = state()
    if len(tensors) >= MANY:
        runners["by hand"] = lambda: by_hand(tensors, mine, precision)
    times = race(runners, before=lambda: remove(mine, theirs))
    two, hand = times.pop("2 threads"), times.pop("by hand", None)
    question = f"save {precision or 'full'}"
    one, safetensors = times["1 thread"], times["safetensors"]
    at_most = bounds.half if precision else bounds.full
    at_most_wall = bounds.half_wall if precision else bounds.full_wall
    return [
        Row.timed(question, case, one, safetensors, at_most=at_most),
        *([Row.timed(f"{question}, by hand", case, hand, safetensors)] if hand else []),
        *(
            Row.timed(
                f"{question}, 2 threads to {name}, {by}",
                case,
                two,
                samples,
                at_most=at_most_wall if (name, by) == _BOUNDED else None,
                by=by,
            )
            for by in _CLOCKS
            for name, samples in times.items()
        ),
    ]


def by_hand(
    tensors: dict[str, Tensor], file: str, precision: Literal["half"] | None
) -> None:
    """Write small tensors with their sums, and ask nothing of them."""
    waiting = [*tensors.values()]
    names = [
        (path, str(t.dtype), t.shape, t.requires_grad) for path, t in tensors.items()
    ]
    sums: list[bytes] = []
    with open(file, "wb", buffering=0) as out:
        out.write(msgpack.packb(names) or b"")
        for start in range(0, len(waiting), GROUP):
            group = waiting[start : start + GROUP]
            if precision:
                together = torch.cat([t.flatten() for t in group]).half()
                group = [*together.split_with_sizes([t.numel() for t in group])]
            views = [
                (ctypes.c_char * t.nbytes).from_address(t.data_ptr()) for t in group
            ]
            sums += map(xxhash.xxh3_64_digest, views)
            os.writev(out.fileno(), views)
        out.write(b"".join(sums))


def save_as_half(state: State, file: str) -> None:
    save_safetensors({path: t.half() for path, t in state().items()}, file)


def remove(*files: str) -> None:
    for file in files:
        Path(file).unlink(missing_ok=True)


_CLOCKS: tuple[Literal["wall", "cpu"], ...] = ("wall", "cpu")
_BOUNDED = ("safetensors", "wall")
