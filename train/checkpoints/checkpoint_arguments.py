"""Checks of the arguments of `Checkpoints` and its `save` and `restore`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...config.short_text import with_article
from ...records.entries.encoder import is_trained
from ...records.io.remote.address import size_at
from ...records.io.remote.url import Place
from ...records.source_errors import one_checkpoint
from .manifest import FILE

_COUNTS = (
    "keep_last=3 keeps the newest, keep_best=('loss', 1) the one with the lowest loss."
)
_FREQUENCY = (
    "Decide in the loop when to save: if step % 100 == 0: checkpoints.save(step, ...)."
)

OPTIONS_OF_OTHERS = {
    **dict.fromkeys(("dirpath", "directory", "path"), "The folder comes first."),
    **dict.fromkeys(("max_to_keep", "save_top_k", "monitor", "mode"), _COUNTS),
    **dict.fromkeys(("every", "every_n_epochs", "every_n_train_steps"), _FREQUENCY),
    **dict.fromkeys(("async_save", "blocking"), "wait=False saves in a thread."),
}
"""Keywords of other libraries' checkpoint classes, with their equivalents here."""

_REMOVING = (
    "done by keep_last= and keep_best=, or by shutil.rmtree(checkpoints[step].folder)"
)

METHODS_OF_OTHERS = {
    "all_steps": "checkpoints.steps",
    "best_step": "checkpoints.best",
    "delete": _REMOVING,
    "latest_step": "checkpoints.latest",
    "load": "checkpoints.restore(model=net), or checkpoints[step] to look into one",
    "load_best": "checkpoints.restore('best', model=net)",
    "load_latest": "checkpoints.restore(model=net)",
    "remove": _REMOVING,
    "restore_best": "checkpoints.restore('best', model=net)",
    "restore_latest": "checkpoints.restore(model=net)",
}
"""Method names of other libraries for what a run's checkpoints do."""

_OF_SAVE_RECORD = frozenset({"precision", "recorder"})
"""Options of `burnish.save_record`, which would otherwise be stored as parts."""


def refuse_one_checkpoint(root: Place) -> None:
    """Raise ValueError for one checkpoint's folder, which would look like a new run."""
    has_number = root.name.removeprefix("step").isdecimal()
    if (has_number or isinstance(root, Path)) and size_at(root / FILE) is not None:
        raise ValueError(
            f"{root} is {one_checkpoint(str(root))}. Checkpoints takes the folder of "
            "a run"
        )


def refuse_run_of_lightning(root: Place) -> None:
    """Raise ValueError for a run whose checkpoints are named differently."""
    if not isinstance(root, Path) or not root.is_dir():
        return
    names = [name for name in os.listdir(root) if not name.startswith((".", "step"))]
    other_folders = [root / name for name in names if (root / name / FILE).is_file()]
    if other_folders:
        folder = min(other_folders)
        raise ValueError(
            f"{root} holds no checkpoint of burnish.Checkpoints; {folder.name!r} is "
            f"{one_checkpoint(str(folder))}"
        )


def ranking_of(keep_best: Any) -> tuple[str, int, str]:
    """Return the name, the count and the mode of ``keep_best``. Raises ValueError."""
    settings = [keep_best] if isinstance(keep_best, str) else keep_best
    ranking: list[Any] = (
        list(settings) if isinstance(settings, tuple | list) else [None]
    )
    name, count, mode, *surplus = ranking + ["", 1, "min"][len(ranking) :]
    if surplus or not isinstance(name, str) or type(count) is not int or count < 1:
        raise ValueError(f"keep_best must be like ('loss', 1), got {keep_best!r}")
    if mode not in ("min", "max"):
        raise ValueError(f"keep_best: the mode must be 'min' or 'max', got {mode!r}")
    return name, count, mode


def checked_step(step: Any, verb: str) -> int:
    """Return the number of a step; errors name the other arguments of ``verb``."""
    if hasattr(step, "state_dict"):
        raise TypeError(
            f"{verb} takes parts by name, after the step: "
            f"checkpoints.{verb}(100, model=net), got "
            f"{with_article(type(step).__name__)} first"
        )
    if isinstance(step, Mapping):
        names = ", ".join(f"{name}=..." for name in [*step][:3])
        raise TypeError(
            f"{verb} takes parts by name and not in a dict: "
            f"checkpoints.{verb}(100, {names})"
        )
    value = step.item() if isinstance(step, torch.Tensor) else step
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 0:
        words = ", or 'latest' or 'best'" if verb == "restore" else ""
        raise ValueError(
            f"a step must be an integer of at least 0{words}, got {step!r:.60}"
        )
    return int(value)


def as_number(part: object) -> int | float | None:
    """Return ``part`` as a number if it is one, also in a tensor without dimensions.

    A trained tensor (SAC's ``log_alpha``) is a part to resume from, not a number: a
    loss is computed from others, and cannot be filled.
    """
    import numpy as np

    if is_trained(part):
        return None
    if isinstance(part, torch.Tensor | np.ndarray | np.generic) and part.ndim == 0:
        part = part.item()
    if isinstance(part, bool):
        return int(part)
    return part if isinstance(part, int | float) else None


def check_part_name(name: str, value: object) -> None:
    """Raise for a name that is an option, or that no file can have.

    ``value`` distinguishes an option from a part of the same name.
    """
    if name in ("only", "exclude"):
        raise TypeError(
            f"checkpoints.save takes no {name!r}; set it once, for all saves: "
            f"burnish.Checkpoints(folder, {name}=...). To write a file for others: "
            f"burnish.save_record(model, file, {name}=...)"
        )
    if name in _OF_SAVE_RECORD:
        raise TypeError(
            f"checkpoints.save takes no {name!r}: to resume bit for bit, a run "
            "needs every part whole and unchanged. It is an option of "
            "burnish.save_record, which writes a file for others: "
            f"burnish.save_record(model, file, {name}=...)"
        )
    if name == "wait":
        raise TypeError(
            "checkpoints.save takes no 'wait'; set it once, for all saves: "
            "burnish.Checkpoints(folder, wait=False)"
        )
    if name == "snapshot" and isinstance(value, str) and value in ("copy", "lazy"):
        raise TypeError(
            "checkpoints.save takes no 'snapshot'; set it once, for all saves: "
            "burnish.Checkpoints(folder, wait=False, snapshot='lazy')"
        )
    if name == "hyperparameters":
        raise ValueError(
            "'hyperparameters' is an option of restore; give the part another name"
        )
    if not name.isidentifier() or len(name) > 200:
        raise ValueError(
            "the name of a part must be an identifier of at most 200 characters, got "
            f"{name!r:.220}"
        )


def check_rng(rng: object) -> None:
    """Raise TypeError for a generator: ``rng`` is whether to save the process's own."""
    if not isinstance(rng, bool):
        raise TypeError(
            "rng must be a bool, for the random generators of the process; pass your "
            f"own generator under another name, got {rng!r:.60}"
        )
