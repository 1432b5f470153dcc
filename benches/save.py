"""Is saving with checksums as fast as the quickest peer, whole and in half precision?

Peer: `safetensors.torch.save_file`, which neither hashes nor syncs, on the state dict;
for the durable save, a plain `write()` and fsync of the very same bytes.
"""

import os
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
    for case, save, state, full, half in cases:
        with scratch() as folder, no_fsync():
            rows += full_rows(folder, case, save, state, full)
            rows += half_rows(folder, case, save, state, half)
    for case, save, *_ in cases:
        with scratch("disk") as folder:
            rows += durable_rows(folder, case, save)
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


def full_rows(
    folder: str,
    case: str,
    save: Save,
    state: State,
    at_most: float,
) -> list[Row]:
    mine, theirs = f"{folder}/net.mpk", f"{folder}/net.safetensors"
    times = race(
        {"ours": lambda: save(mine), "peer": lambda: save_safetensors(state(), theirs)},
        before=lambda: remove(mine, theirs),
    )
    return [
        Row.timed("save full", case, times["ours"], times["peer"], at_most=at_most),
        memory_row("save full, extra memory", case, lambda: save(mine)),
    ]


def half_rows(
    folder: str,
    case: str,
    save: Save,
    state: State,
    at_most: float,
) -> list[Row]:
    mine, theirs = f"{folder}/half.mpk", f"{folder}/half.safetensors"

    def ours() -> object:
        return save(mine, precision="half")

    def peer() -> None:
        save_safetensors({k: v.half() for k, v in state().items()}, theirs)

    times = race({"ours": ours, "peer": peer}, before=lambda: remove(mine, theirs))
    return [
        Row.timed("save half", case, times["ours"], times["peer"], at_most=at_most),
        memory_row("save half, extra memory", case, ours, peer),
    ]


def durable_rows(folder: str, case: str, save: Save) -> list[Row]:
    mine, theirs = f"{folder}/net.mpk", f"{folder}/plain"
    save(mine)
    content = Path(mine).read_bytes()

    def peer() -> None:
        with open(theirs, "wb", buffering=0) as file:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())

    def settle() -> None:
        remove(mine, theirs)
        os.sync()

    times = race(
        {"ours": lambda: save(mine), "peer": peer},
        before=settle,
        pairs=9 if len(content) < 100 * MIB else 5,
    )
    ours, other = times["ours"], times["peer"]
    return [
        Row.timed("durable save", case, ours, other, at_most=1.15, by="wall"),
        Row.timed("durable save", case, ours, other, by="cpu"),
    ]


def memory_row(
    question: str,
    case: str,
    ours: Callable[[], object],
    peer: Callable[[], object] | None = None,
) -> Row:
    return Row.bounded(
        question,
        case,
        extra_memory(ours).peak / MIB,
        "MiB",
        peer=None if peer is None else extra_memory(peer).peak / MIB,
        at_most=8,
    )


def remove(*files: str) -> None:
    for file in files:
        Path(file).unlink(missing_ok=True)
