"""Is saving with checksums as fast as the quickest peer, whole and in half precision?

Peer: `safetensors.torch.save_file`, which neither hashes nor syncs, on the state dict.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import torch
from harness import MIB, Row, extra_memory, no_fsync, race, scratch
from models import ManyLinear, gpt2, many_tensors
from peers import save_safetensors
from torch import Tensor, nn

import burnish

State = Callable[[], dict[str, Tensor]]


class Save(Protocol):
    """Write to a file, at a precision."""

    def __call__(
        self, file: str, *, precision: Literal["half"] | None = None
    ) -> object: ...


def run() -> list[Row]:
    torch.set_num_threads(1)
    large, small, record = gpt2(), ManyLinear(), many_tensors()
    cases: list[tuple[str, Save, State, float, float]] = [
        ("GPT-2, 124 M", of_module(large), lambda: untied(large), 1.1, 0.75),
        ("5,000 of 64x64, module", of_module(small), lambda: untied(small), 0.5, 0.35),
        ("5,000 of 64x64, record", of_dict(record), lambda: record, 0.5, 0.35),
    ]
    rows: list[Row] = []
    # Before the races, which leave the allocator's heap full of holes.
    for case, save, state, *_ in cases:
        with scratch() as folder, no_fsync():
            rows += memory_rows(folder, case, save, state)
    for case, save, state, full, half in cases:
        with scratch() as folder, no_fsync():
            rows += speed_rows(folder, case, save, state, None, full)
            rows += speed_rows(folder, case, save, state, "half", half)
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
    at_most: float,
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

    times = race(
        {
            "1 thread": lambda: on(1),
            "safetensors": peer,
            "write() alone": lambda: Path(mine).write_bytes(content),
            "2 threads": lambda: on(2),
        },
        before=lambda: remove(mine, theirs),
    )
    two = times.pop("2 threads")
    question = f"save {precision or 'full'}"
    one, safetensors = times["1 thread"], times["safetensors"]
    return [
        Row.timed(question, case, one, safetensors, at_most=at_most),
        *(
            Row.timed(
                f"{question}, 2 threads to {name}, {by}", case, two, samples, by=by
            )
            for by in _CLOCKS
            for name, samples in times.items()
        ),
    ]


def save_as_half(state: State, file: str) -> None:
    save_safetensors({path: t.half() for path, t in state().items()}, file)


def remove(*files: str) -> None:
    for file in files:
        Path(file).unlink(missing_ok=True)


_CLOCKS: tuple[Literal["wall", "cpu"], ...] = ("wall", "cpu")
