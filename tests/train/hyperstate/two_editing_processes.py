"""One of two processes of a run whose config is edited; called with the rank.

Ends with 0 if both take over the same edits at the same steps.
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from burnish.config import Editable, dump
from burnish.config.live import live_file
from burnish.train import HyperState


@dataclass
class Config:
    lr: Editable[float] = 0.1
    width: int = 3


@dataclass
class State:
    step: int
    seen: list[float]


def refuse_on_one(rank: int) -> Any:
    def on_edit(config: Config, changes: object) -> None:
        if config.lr == 13.0 and rank == 1:
            raise ValueError("not on this process")

    return on_edit


def advance(run: HyperState[Config, State], n_steps: int) -> None:
    for _ in range(n_steps):
        run.state.step += 1
        run.step()
        run.state.seen.append(run.config.lr)


def edited(rank: int, file: Path, config: Config) -> None:
    """Have the first process edit, and the other wait for that."""
    if rank == 0:
        dump(config, file)
    dist.barrier()


def main() -> None:
    """Edit between steps, and compare what both processes saw."""
    warnings.simplefilter("ignore")
    rank, meeting, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    # Every file has settled, on a clock that is far ahead.
    setattr(live_file, "wall_time", lambda: 1e11)  # noqa: B010  # it exports nothing

    def load() -> HyperState[Config, State]:
        return HyperState.load(
            Config,
            State,
            lambda _: State(0, []),
            checkpoint_dir=folder,
            every=5,
            rng=False,
            on_edit=refuse_on_one(rank),
            edit_every=4,
        )

    run = load()
    file = folder / "config.ron"
    advance(run, 2)
    edited(rank, file, Config(lr=0.2))
    advance(run, 4)
    edited(rank, file, Config(lr=13.0))
    advance(run, 4)
    edited(rank, file, Config(lr=0.3, width=4))
    advance(run, 4)
    edited(rank, file, Config(lr=0.3))
    advance(run, 4)

    assert run.state.seen == 3 * [0.1] + 12 * [0.2] + 3 * [0.3], run.state.seen
    verdicts = [(e.verdict, e.step) for e in run.edits]
    expected = [("begun", 0), ("applied", 4), ("refused", 8), ("refused", 12)]
    assert verdicts == ([] if rank else [*expected, ("applied", 16)]), verdicts
    check_resume(load(), rank)
    # A process may not leave while another still talks to it.
    dist.barrier()
    dist.destroy_process_group()


def check_resume(run: HyperState[Config, State], rank: int) -> None:
    """Both go on from step 15, and meet the edit of step 16 again there."""
    assert run.state.step == 15
    assert run.config.lr == 0.2
    advance(run, 3)
    assert run.state.seen[-3:] == [0.3, 0.3, 0.3], run.state.seen
    assert rank or run.edits[-1].step == 16


if __name__ == "__main__":
    main()
