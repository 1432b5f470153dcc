"""``burnish fit``: train a model described by a config file."""

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.short_text import quantity
from .hydra_app import Job, run_apart, run_on_hydra
from .hydra_words import hydra_parser
from .main import main as command
from .termination import Terminated

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

ABOUT = "train the model that a config file describes; results go to the run's folder"

_EXAMPLES = """
burnish fit --config-name digits max_epochs=3 hydra.run.dir=runs/first
burnish fit -m --config-name digits optimizer.kwargs.lr=0.1,0.01 width=32,64
"""


def main(argv: Sequence[str]) -> int:
    """Train as ``argv`` requests, and return the exit status."""
    from ..train.fit.first_failure import is_first_failure
    from ..train.fit.sent_run import is_first_process

    if not is_first_process():
        return run_apart(_take_part, is_first_failure)
    pages: dict[Path, int] = {}
    sweep_id = f"{time.time_ns():x}-{os.getpid()}"

    def note(job: Job) -> None:
        from ..train.fit.sweep import note_run

        page = note_run(job.sweep, job.folder, job.overrides, job.problem, sweep_id)
        pages[page] = pages.get(page, 0) + 1

    try:
        return run_on_hydra(_parser(), argv, _fit, after_job=note)
    finally:
        for page, n_runs in pages.items():
            print(f"compared: {page}, {quantity(n_runs, 'run')}")


def _parser() -> ArgumentParser:
    return hydra_parser("fit", ABOUT, _EXAMPLES)


def _take_part() -> None:
    """Train in a run of another process, which writes all files and ends this one."""
    from ..train.fit.fit_config import FitConfig
    from ..train.fit.run_fit import fit
    from ..train.fit.sent_run import SentRun

    run = SentRun.receive()
    folder = run.enter()
    fit(FitConfig(run.tree, "configuration"), folder)


def _fit(tree: dict[str, object], folder: Path) -> None:
    from ..train.fit.fit_config import FitConfig
    from ..train.fit.run_fit import fit, has_trained

    try:
        trainer = fit(FitConfig(tree, "configuration"), folder)
    except (Terminated, KeyboardInterrupt):
        print(_how_to_go_on(folder), file=sys.stderr)
        raise
    except SystemExit as ending:
        # Lightning exits the program on Ctrl-C.
        if isinstance(ending.__context__, KeyboardInterrupt):
            print(_how_to_go_on(folder), file=sys.stderr)
        raise
    if not has_trained(trainer):
        print(
            f"nothing was left to do: {trainer.current_epoch} epochs and "
            f"{trainer.global_step} steps are done, and {_end(trainer)}"
        )
    print(f"results: {folder / 'report.html'}")


def _end(trainer: "Trainer") -> str:
    """Return the message for a run that has no steps left."""
    if trainer.should_stop:
        return "early_stopping has ended the run"
    return (
        f"the run ends at max_epochs={trainer.max_epochs}, "
        f"max_steps={trainer.max_steps}"
    )


def _how_to_go_on(folder: Path) -> str:
    """Return the message about what an interrupted run has left on disk."""
    from ..train.fit.beginning import LAST
    from ..train.lightning.checkpoint_folder import is_checkpoint

    last_checkpoint = folder / "checkpoints" / LAST
    if not is_checkpoint(last_checkpoint):
        return f"{last_checkpoint.parent} has no checkpoint to resume from"
    return (
        f"{last_checkpoint} was saved; to resume from it, pass "
        f"resume_from_checkpoint={folder}"
    )


if __name__ == "__main__":
    raise SystemExit(command(["fit", *sys.argv[1:]]))
