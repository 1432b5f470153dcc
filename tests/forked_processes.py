"""Runs something in a process forked from the test, or in several of one group."""

import os
import signal
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import distributed as dist

from burnish.records.io.sink import FileSink

_SECONDS = 20


def in_processes(act: Callable[[int], object], folder: Path, n: int) -> None:
    """Call ``act`` with 0 to ``n`` - 1, each in a process of its own, and wait.

    AssertionError with the traceback of each process in which it raised. What waits
    for a process that never comes is an error too.
    """
    folder.mkdir(exist_ok=True, parents=True)
    children = [_forked(act, rank, folder, n) for rank in range(n)]
    statuses = [os.waitpid(child, 0)[1] for child in children]
    reports = [file.read_text() for file in sorted(folder.glob("error*.txt"))]
    assert statuses == [0] * n, "\n".join(reports) or statuses


in_two_processes = partial(in_processes, n=2)


def status_of_fork(action: Callable[[], object]) -> int:
    """Return the exit status of a child that calls ``action``: 0 where it succeeds.

    One that waits for ever is killed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if not child:
        signal.alarm(_SECONDS)
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_while_saving(
    save: Callable[[int], object], folder: Path, killed: int
) -> None:
    """Have two processes call ``save``, of which one dies when it writes a record.

    The other one has to hear of that.
    """

    def die(self: object, buffers: object) -> None:
        os._exit(0)

    def act(rank: int) -> None:
        if rank == killed:
            FileSink.writev = die  # type: ignore[method-assign]  # in a fork
        with pytest.raises(RuntimeError):
            save(rank)
        # The dead one cannot be waited for.
        os._exit(0)

    in_processes(act, folder, 2)


def _forked(act: Callable[[int], object], rank: int, folder: Path, n: int) -> int:
    child = os.fork()
    if child:
        return child
    signal.alarm(_SECONDS)
    status = 1
    try:
        # The threads that torch computed with before the fork are not here.
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/meeting",
            rank=rank,
            world_size=n,
            timeout=timedelta(seconds=_SECONDS - 5),
        )
        torch.manual_seed(rank)
        act(rank)
        # Neither leaves while the other is still in a message with it.
        dist.barrier()
        status = 0
    except BaseException:
        (folder / f"error{rank}.txt").write_text(
            f"process {rank}: {traceback.format_exc()}"
        )
    finally:
        os._exit(status)
