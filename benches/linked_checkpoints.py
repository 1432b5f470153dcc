"""What does a second checkpoint cost of which most is unchanged?

GPT-2 with adapters of rank 8 and their AdamW, two threads. The peer saves the adapters
and their state alone. Frozen values are read and hashed each time, so that the time has
a floor: the peer's save and one look at 475 MB, which is measured by itself. Beside it
stands the other way to know that nothing changed, a comparison with the older file.
"""

import ctypes
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import xxhash
from harness import MIB, Row, Samples, no_fsync, race, scratch
from models import gpt2
from torch import Tensor, nn

import burnish
from burnish.optim import AdamW
from burnish.train import Checkpoints

THREADS = 2
PAIRS = 9


def run() -> list[Row]:
    torch.set_num_threads(THREADS)
    net = adapted(gpt2())
    optim = AdamW().bind(net, lr=1e-4)
    with scratch() as folder, no_fsync():
        runs = Runs(Path(folder), net, optim)
        samples = race(runs.runners(), pairs=PAIRS, before=runs.train)
        rows = [*runs.size_rows(), *time_rows(samples, "in memory, no fsync")]
    with scratch("disk") as folder:
        runs = Runs(Path(folder), net, optim)
        samples = race(runs.savers(), pairs=PAIRS, before=runs.train)
        rows += durable_rows(samples)
    return rows


class Adapter(nn.Module):
    """A layer that is frozen, and what is added to what it gives out."""

    def __init__(self, base: nn.Module, n_in: int, n_out: int, rank: int = 8) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(n_in, rank, bias=False)
        self.up = nn.Linear(rank, n_out, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        base: Tensor = self.base(x)
        low: Tensor = self.up(self.down(x))
        return base + low


def adapted(net: nn.Module) -> nn.Module:
    """Return ``net``, frozen, with an adapter around each matrix of attention."""
    burnish.freeze(net)
    for block in net.transformer.h:  # type: ignore[union-attr]  # GPT-2's blocks
        weight = block.attn.c_attn.weight
        block.attn.c_attn = Adapter(block.attn.c_attn, *weight.shape)
    return net


class Runs:
    """The ways to save one run, each of which has saved it before."""

    def __init__(
        self, folder: Path, net: nn.Module, optim: torch.optim.Optimizer
    ) -> None:
        self._net, self._optim, self._step = net, optim, 0
        self._folder = folder
        self._linked = Checkpoints(folder / "linked", unchanged="link")
        self._alone = Checkpoints(folder / "alone", only=burnish.trainable)
        self._whole = Checkpoints(folder / "whole", keep_last=1)
        self._frozen = [p for p in net.parameters() if not p.requires_grad]

    def savers(self) -> dict[str, Callable[[], object]]:
        return {
            "linked": lambda: self._save(self._linked),
            "alone": lambda: self._save(self._alone),
            "whole": lambda: self._save(self._whole),
        }

    def runners(self) -> dict[str, Callable[[], object]]:
        self._older = older_file(self._folder / "older", self._frozen)
        return {
            **self.savers(),
            "hash": lambda: hash_all(self._frozen),
            "compare": lambda: compare_all(self._frozen, self._older),
        }

    def train(self) -> None:
        """Change the adapters and their state."""
        self._step += 1
        for parameter in self._net.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.full_like(parameter, 1.0)
        self._optim.step()

    def size_rows(self) -> list[Row]:
        case = "GPT-2, adapters of rank 8"
        sizes = [n_written(run) for run in (self._linked, self._alone, self._whole)]
        linked, alone, whole = (size / MIB for size in sizes)
        return [
            Row.sized("bytes", case, linked, alone, "MiB", at_most=1.1),
            Row.sized("bytes, all written", case, linked, whole, "MiB"),
        ]

    def _save(self, run: Checkpoints) -> None:
        run.save(self._step, model=self._net, optim=self._optim)


def time_rows(samples: dict[str, Samples], case: str) -> list[Row]:
    linked, alone, hashes = samples["linked"], samples["alone"], samples["hash"]
    return [
        Row.timed("save", case, linked, alone, at_most=1.1, by="wall"),
        Row.timed("save", case, linked, alone),
        Row.timed("the hash alone, by hand", case, hashes, alone, by="wall"),
        Row.timed(
            "a comparison with the older file",
            case,
            samples["compare"],
            alone,
            by="wall",
        ),
        Row.timed("save, all written", case, linked, samples["whole"], by="wall"),
    ]


def durable_rows(samples: dict[str, Samples]) -> list[Row]:
    linked, case = samples["linked"], "on a disk, with fsync"
    return [
        Row.timed("save", case, linked, samples["alone"], by="wall"),
        Row.timed("save, all written", case, linked, samples["whole"], by="wall"),
    ]


def n_written(run: Checkpoints) -> int:
    """Return the bytes of the newest checkpoint that no other one has."""
    statuses = [os.stat(file) for file in Path(run["latest"]).iterdir()]
    return sum(status.st_size for status in statuses if status.st_nlink == 1)


def hash_all(tensors: Sequence[Tensor]) -> None:
    """Hash ``tensors`` by as many threads as torch has."""
    arrays: list[Any] = [tensor.numpy() for tensor in tensors]
    in_threads(xxhash.xxh3_64_digest, [memoryview(array).cast("B") for array in arrays])


def older_file(file: Path, tensors: Sequence[Tensor]) -> int:
    """Return a descriptor of a file that holds ``tensors``, one behind the other."""
    with file.open("wb") as out:
        arrays: list[Any] = [tensor.numpy() for tensor in tensors]
        out.writelines(arrays)
    return os.open(file, os.O_RDONLY)


def compare_all(tensors: Sequence[Tensor], descriptor: int) -> None:
    """Compare ``tensors`` with what such a file holds, by as many threads."""
    pages = mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    places = [*accumulate((tensor.nbytes for tensor in tensors), initial=start)]

    results: list[int] = []

    def compare(row: tuple[int, Tensor]) -> None:
        place, tensor = row
        results.append(_memcmp(place, tensor.data_ptr(), tensor.nbytes))

    in_threads(compare, [*zip(places, tensors, strict=False)])
    if any(results):
        raise RuntimeError("values that are frozen have changed")


_memcmp = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
)(("memcmp", ctypes.CDLL(None)))


def in_threads(look: Callable[[Any], object], waiting: list[Any]) -> None:
    """Have as many threads as torch has look at each, the next one by who is free."""

    def work() -> None:
        try:
            while True:
                look(waiting.pop(0))
        except IndexError:
            pass

    threads = [threading.Thread(target=work) for _ in range(THREADS - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
