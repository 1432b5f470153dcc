"""For how long does a save that nobody waits for hold up the training?

Peers, in the same race: the save that is waited for; `async_save` of
torch.distributed.checkpoint, with a staging memory that is reused as ours is; and a
thread around `torch.save` of a copied state dict. GPT-2 of three layers and its AdamW,
0.7 GB, in memory and without fsync, since the peers call none; two threads. A lazy save
holds up nobody before the next step: where that comes at once, the row has the call's
time and what the step waited.
"""

import copy
import shutil
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from harness import MIB, Row, Samples, extra_memory, no_fsync, race, scratch
from models import ManyLinear, gpt2
from torch import nn
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_saver import async_save

from burnish.train import Checkpoints

THREADS = 2
PAIRS = 3
"""A round of these saves takes seconds."""


def run() -> list[Row]:
    warnings.filterwarnings("ignore", "torch.distributed is disabled")
    # Of many small tensors Python's own work is most of either save.
    return [
        *rows_of(
            gpt2(n_layer=3),
            "GPT-2 of 3 layers and AdamW, 0.7 GB",
            at_most=0.3,
            lazy_at_most=0.05,
        ),
        *rows_of(ManyLinear(1000), "1,000 of 64x64 and AdamW, 49 MB"),
    ]


def rows_of(
    net: nn.Module,
    case: str,
    *,
    at_most: float | None = None,
    lazy_at_most: float | None = None,
) -> list[Row]:
    """Return the answers for a module and its AdamW."""
    # A forked process, in which memory is measured, has none of torch's threads.
    torch.set_num_threads(1)
    optim = stepped(net)
    with scratch() as folder, no_fsync():
        memory = memory_row(Path(folder), net, optim, case)
        torch.set_num_threads(THREADS)
        first = first_row(Path(folder), net, optim, case)
        # Small tensors are copied, lazy or not.
        runs = Runs(Path(folder), net, optim, has_lazy=lazy_at_most is not None)
        samples = race(runs.runners(), pairs=PAIRS, before=runs.settle)
        runs.settle()
        lazy: list[Row] = []
        if lazy_at_most is not None:
            at_once = runs.lazy_saves_before_a_step()
            lazy = lazy_rows(samples, at_once, case, lazy_at_most)
    blocked = blocked_rows(samples, case, at_most)
    return [*blocked, *lazy, first, memory]


def stepped(net: nn.Module) -> torch.optim.Optimizer:
    optim = torch.optim.AdamW(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optim.step()
    optim.zero_grad()
    return optim


class Runs:
    """The ways to save one run, and what each of them leaves going on."""

    def __init__(
        self,
        folder: Path,
        net: nn.Module,
        optim: torch.optim.Optimizer,
        *,
        has_lazy: bool,
    ) -> None:
        self._has_lazy = has_lazy
        self._folder, self._net, self._optim = folder, net, optim
        self._waiting = Checkpoints(folder / "waiting", keep_last=1)
        self._ours = Checkpoints(folder / "ours", keep_last=1, wait=False)
        self._lazy = Checkpoints(
            folder / "lazy", keep_last=1, wait=False, snapshot="lazy"
        )
        self._pending: list[Callable[[], object]] = []
        options = StagingOptions(
            use_pinned_memory=False,
            use_shared_memory=False,
            use_async_staging=False,
            use_non_blocking_copy=False,
        )
        self._stager = DefaultStager(options)

    def runners(self) -> dict[str, Callable[[], object]]:
        """Return each way to begin a save; what is timed is how long that takes."""
        runners: dict[str, Callable[[], object]] = {
            "waiting": lambda: self._save(self._waiting),
            "ours": lambda: self._save(self._ours),
            "lazy": lambda: self._save(self._lazy),
            "dcp": self._save_dcp,
            "thread": self._save_thread,
        }
        return self._chosen(runners)

    def whole_runners(self) -> dict[str, Callable[[], object]]:
        """Return the saves of ours to their end, with nothing that goes on beside."""
        runners: dict[str, Callable[[], object]] = {
            "waiting": lambda: self._save(self._waiting),
            "ours": lambda: self._save(self._ours).wait(),
            "lazy": lambda: self._save(self._lazy).wait(),
        }
        return self._chosen(runners)

    def _chosen(
        self, runners: dict[str, Callable[[], object]]
    ) -> dict[str, Callable[[], object]]:
        return {k: v for k, v in runners.items() if k != "lazy" or self._has_lazy}

    def lazy_saves_before_a_step(self) -> Samples:
        """Return for how long a lazy save holds up what is a step at once."""
        samples = Samples()
        for _ in range(PAIRS):
            begun = time.perf_counter()
            saved = self._save(self._lazy)
            seconds = time.perf_counter() - begun
            self._optim.step()
            saved.wait()
            samples.wall.append(seconds + saved.report.seconds_held_up)
            self.settle()
        return samples

    def settle(self) -> None:
        """Wait for what goes on, and remove what was saved."""
        self._ours.wait()
        self._lazy.wait()
        for wait in self._pending:
            wait()
        self._pending.clear()
        for place in self._folder.iterdir():
            shutil.rmtree(place) if place.is_dir() else place.unlink()

    def _save(self, checkpoints: Checkpoints) -> Any:
        return checkpoints.save(1, model=self._net, optim=self._optim)

    def _state(self) -> dict[str, Any]:
        return {"model": self._net.state_dict(), "optim": self._optim.state_dict()}

    def _save_dcp(self) -> None:
        future: Any = async_save(
            self._state(),
            checkpoint_id=self._folder / "dcp",
            async_stager=self._stager,
            no_dist=True,
        )
        saved: Future[Any] = getattr(future, "upload_completion", future)
        self._pending.append(saved.result)

    def _save_thread(self) -> None:
        state = copy.deepcopy(self._state())
        file = self._folder / "thread.pt"
        thread = threading.Thread(target=torch.save, args=(state, file))
        thread.start()
        self._pending.append(thread.join)


def blocked_rows(
    samples: dict[str, Samples], case: str, at_most: float | None
) -> list[Row]:
    ours, waiting = samples["ours"], samples["waiting"]
    return [
        Row.timed(
            "blocked, against waiting", case, ours, waiting, at_most=at_most, by="wall"
        ),
        Row.timed("blocked, against waiting", case, ours, waiting, by="cpu"),
        Row.timed("blocked, against DCP", case, ours, samples["dcp"], by="wall"),
        Row.timed(
            "blocked, against a thread", case, ours, samples["thread"], by="wall"
        ),
    ]


def lazy_rows(
    samples: dict[str, Samples], at_once: Samples, case: str, at_most: float
) -> list[Row]:
    waiting = samples["waiting"]
    at_once_ms, waiting_ms = (
        1e3 * statistics.median(times.wall) for times in (at_once, waiting)
    )
    peers = {"waiting": waiting, "DCP": samples["dcp"], "a thread": samples["thread"]}
    return [
        *(
            Row.timed(
                f"lazy, no step comes: blocked, against {name}",
                case,
                samples["lazy"],
                peer,
                at_most=at_most if peer is waiting else None,
                by="wall",
            )
            for name, peer in peers.items()
        ),
        Row.sized(
            "lazy, a step at once: blocked, against waiting",
            case,
            at_once_ms,
            waiting_ms,
            "ms wall",
        ),
    ]


def first_row(
    folder: Path, net: nn.Module, optim: torch.optim.Optimizer, case: str
) -> Row:
    """Return how long the first save blocks, which takes the memory for all."""

    def timed(checkpoints: Checkpoints) -> float:
        begun = time.perf_counter()
        saved = checkpoints.save(1, model=net, optim=optim)
        seconds = time.perf_counter() - begun
        saved.wait()
        shutil.rmtree(checkpoints.folder)
        return 1e3 * seconds

    waiting = timed(Checkpoints(folder / "waiting"))
    ours = timed(Checkpoints(folder / "ours", wait=False))
    return Row.sized("blocked, the first save", case, ours, waiting, "ms wall")


def memory_row(
    folder: Path, net: nn.Module, optim: torch.optim.Optimizer, case: str
) -> Row:
    """Return the memory of a save beside what it saves, once the copy's is there."""

    def save() -> Checkpoints:
        checkpoints = Checkpoints(folder / "memory", keep_last=1, wait=False)
        checkpoints.save(1, model=net, optim=optim).wait()
        return checkpoints

    extra = extra_memory(save).own / MIB
    held = [*net.parameters(), *net.buffers()]
    held += [t for state in optim.state.values() for t in state.values()]
    size = sum(t.nbytes for t in {id(t): t for t in held}.values()) / MIB
    shutil.rmtree(folder / "memory")
    return Row.sized("memory for the copy", case, extra, size, "MiB")
