"""The beginning of a run of ``burnish fit``, new or resumed, and its config."""

import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config.errors import ConfigError
from ...config.files import load
from ...config.formats import config_format_named
from ...config.hparams import Hparams
from ...config.live.edit_lock import edit_lock
from ...config.live.history import HISTORY, Edit, edit_of_line, read_history
from ...config.live.live_config import LOG, NAME
from ...config.live.resumption import (
    Resumption,
    edited_values,
    resume_config,
    values_left_behind,
    with_changes,
)
from ...config.process.interrupts import raise_of_signal
from ...config.storage.replacement import write_text
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.folders import refuse_obstacle
from ..checkpoints.rereading import reread_if_replaced
from ..lightning.checkpoint_folder import TRAINING, is_checkpoint
from ..lightning.data_module import with_stored_seed
from .fit_config import RUN, FitConfig, file_tree

LAST = "last"
FILE = f"{NAME}.yaml"
"""The files at the top of a run's folder."""

LIVE_RUN = "LiveRun"
"""The key in checkpoints for the state of the callback that follows the config."""

_MOST_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitBeginning:
    """The state and the config of a run at its beginning."""

    folder: Path
    checkpoint: str | None
    composed: Hparams
    """The config composed from the file and the command line."""

    past: Sequence[Edit]
    """The edits up to the checkpoint."""

    start: Resumption[Hparams]
    """The values in force there."""

    @classmethod
    def of(
        cls, config: FitConfig, folder: Path, *, writes: bool = True
    ) -> "FitBeginning":
        """Return where the run begins, with its config in ``folder`` if it ``writes``.

        Other processes call this once the first one has written.
        """
        place = config.run.resume_from_checkpoint
        checkpoint = checkpoint_of(place, folder)
        training = _training_state(checkpoint)
        stored_data = training.get(config.data_class.__qualname__, {})
        config.data = with_stored_seed(config.data, stored_data)
        past = stored_edits(training)
        is_same_run = place == "auto" or _is_in(checkpoint, folder)
        composed = config.file()
        lock = edit_lock(folder, wait_seconds=_MOST_SECONDS)
        with lock if writes else nullcontext():
            if writes and not is_same_run:
                _forget(folder / HISTORY)
            edits = read_history(folder / HISTORY)
            start = resume_config(composed, past, edits)
            _check_end(checkpoint, training, start.config[RUN].trainer.max_epochs)
            on_disk = start.final
            if is_same_run and edits:
                on_disk = _with_edits(on_disk, edits, folder / FILE)
            if writes:
                write_text(folder / FILE, file_text(on_disk))
        return cls(
            folder=folder,
            checkpoint=checkpoint,
            composed=composed,
            past=past,
            start=start,
        )

    def trainer_options(self) -> dict[str, Any]:
        """Return the arguments of the Trainer."""
        options: dict[str, Any] = self.start.config[RUN].trainer.options()
        return options


def file_text(file: Hparams) -> str:
    """Return the text of a run's ``config.yaml``."""
    return config_format_named("yaml").write(file_tree(file))


def checkpoint_of(place_name: str | None, folder: Path) -> str | None:
    """Return the checkpoint to resume from. FileNotFoundError if there is none."""
    if place_name is None:
        return None
    if place_name == "auto":
        last_checkpoint = folder / "checkpoints" / LAST
        if is_checkpoint(last_checkpoint):
            return str(last_checkpoint)
        _refuse_other(last_checkpoint)
        return None
    for place in (Path(place_name), Path(place_name) / "checkpoints" / LAST):
        if is_checkpoint(place) or place.is_file():
            return str(place)
    raise FileNotFoundError(
        f"run_config.resume_from_checkpoint={place_name}: there is no "
        "checkpoint; pass a checkpoint, the folder of a run, or auto"
    )


def _refuse_other(place: Path) -> None:
    """Raise FileNotFoundError if ``last`` is something other than a checkpoint.

    A run whose checkpoints are damaged, or on a disk that is not mounted, would start
    from scratch and overwrite them.
    """
    refuse_obstacle(place.parent)
    if os.path.lexists(place):
        raise FileNotFoundError(
            f"run_config.resume_from_checkpoint=auto: {place} is not a checkpoint; "
            "copy it again, or remove it to start from scratch"
        )


def _training_state(checkpoint: str | None) -> dict[str, Any]:
    """Return everything but the model; nothing for Lightning's own files."""
    if checkpoint is None or not is_checkpoint(checkpoint):
        return {}
    return reread_if_replaced(
        Path(checkpoint), lambda: dict(Checkpoint.read(checkpoint)[TRAINING])
    )


def stored_edits(state: Any) -> list[Edit]:
    """Return the edits in the training state of a checkpoint, none if it has none."""
    callback: Any = state.get("callbacks", {}).get(LIVE_RUN, {})
    edits = map(edit_of_line, callback.get("edits", ()))
    return [edit for edit in edits if edit is not None]


def _check_end(
    checkpoint: str | None, training: dict[str, Any], max_epochs: int | None
) -> None:
    """Raise ValueError for a run that would end before its checkpoint.

    Lightning would do so too, but only after all data were read.
    """
    epoch = training.get("epoch")
    if not isinstance(epoch, int) or max_epochs in (None, -1):
        return
    if epoch > max_epochs:
        raise ValueError(
            f"{RUN}.trainer.max_epochs={max_epochs}: {checkpoint} was saved in "
            f"epoch {epoch}, counted from 0; to continue, set it to {epoch + 2} "
            "or more, or choose another checkpoint"
        )


def _is_in(checkpoint: str | None, folder: Path) -> bool:
    if checkpoint is None:
        return False
    return Path(checkpoint).resolve().is_relative_to(folder.resolve())


def _forget(history: Path) -> None:
    """Start the history of another run, in the same file, which its writers lock."""
    with suppress(FileNotFoundError):
        os.truncate(history, 0)


def _with_edits(config: Hparams, edits: Sequence[Edit], file: Path) -> Hparams:
    """Return ``config`` with the edits made to the file while no run was active."""
    try:
        on_disk = load(type(config), file)
    except FileNotFoundError:
        return config
    except (ConfigError, OSError) as error:
        raise_of_signal(error)
        LOG.warning("%s is rewritten, since it cannot be read: %s", file, error)
        return config
    return with_changes(config, edited_values(on_disk, values_left_behind(edits)))
