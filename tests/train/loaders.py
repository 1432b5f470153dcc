"""Checkpoints of a run that is saved step by step."""

from pathlib import Path

from burnish.train import Checkpoints


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep_last=None)
    for step in steps:
        checkpoints.save(step, x=[step])
    return checkpoints
