"""Lightning's checkpoints as records: folders that appear whole, without pickles."""

import errno
import json
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.io import CheckpointIO, TorchCheckpointIO

from ...config.storage.replacement import refuse_home_sign
from ...records.background_saves import (
    STAGING,
    BackgroundSaves,
    Records,
    SnapshotKind,
    SnapshotOptions,
    with_all_processes,
)
from ...records.io.remote.url import Place, Url
from ...records.io.save_handle import SnapshotReport
from ...records.processes.agreement import agreed
from ...records.processes.messages import broadcast_text, is_running, n_processes
from ...records.record import Record
from ...records.record_writer import writer_for
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.choice import WHOLE, Choice
from ..checkpoints.distributed import has_shares, is_writer
from ..checkpoints.folders import atomic_folder, recover, remove_folder, sweep
from ..checkpoints.linked_parts import LinkedParts, Unchanged
from ..checkpoints.manifest import FILE, PartRow, files_in
from ..checkpoints.marked_folder import MarkedFolder, new_mark
from ..checkpoints.part import Part, PartRecord, record_of_part, writable
from ..checkpoints.part_kinds import part_of
from ..checkpoints.rereading import reread_if_replaced
from ..checkpoints.shared_checkpoint import SharedCheckpoint, SharedParts
from .checkpoint_folder import (
    MODEL,
    STATE_DICT_EXTRA,
    TRAINING,
    is_checkpoint,
    place_at,
    refuse_other_sources,
)
from .chosen_weights import LEFT_OUT, carried_over, left_out_of, live_values

M = TypeVar("M", bound=LightningModule)


SUFFIX = ".mpk"
"""The suffix of the files of its parts."""

_PEOPLE = ("epoch", "global_step", "hyper_parameters", "datamodule_hyper_parameters")


class RecordIO(CheckpointIO):
    """Reads and writes checkpoints as folders: ``model.mpk``, ``training.mpk``.

    Pass it as ``Trainer(plugins=[RecordIO()])``, or use `RecordCheckpoint`, which does.
    Files that Lightning wrote itself are read too.

    With ``wait=False`` a save copies the checkpoint, and a thread writes the copy while
    training continues. The next save, a load and the end of the trainer's run wait for
    it, and raise its error; old checkpoints are removed once a save has succeeded.
    Several processes wait for each save, unless each of them writes its own shares.
    ``snapshot`` and ``staging`` are those of `Checkpoints`, and so is ``unchanged``:
    with "link", values equal to those of the checkpoint that was saved or loaded before
    share its storage. A path may be a URL that fsspec supports; nothing is linked
    there.
    """

    def __init__(
        self,
        *,
        wait: bool = True,
        snapshot: SnapshotKind = "copy",
        staging: int = STAGING,
        unchanged: Unchanged = "write",
    ) -> None:
        self.module: LightningModule | None = None
        """The module in training: a load lets it keep what was not saved of it."""
        self._choice = WHOLE
        self._links = LinkedParts.checked(unchanged, SUFFIX)
        self._unchanged: Unchanged = unchanged
        self._last: Path | None = None
        kind = SnapshotOptions.checked(snapshot, staging, wait=wait)
        self._wait = wait
        self._saves = BackgroundSaves(keeps_memory=True, options=kind)
        self._unneeded: list[Place] = []
        self._saving: Place | None = None

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: object,
        storage_options: Any | None = None,
    ) -> None:
        """Write the folder ``path``, or leave its previous content unchanged.

        Data that is no trainer's checkpoint becomes a file, as Lightning writes it.
        TypeError names the path of a value that is not plain data, FileExistsError a
        folder of other files.
        """
        if "state_dict" not in checkpoint:
            # A launcher that forks returns trained weights in a file, to a process
            # whose trainer has run nothing, and may still have its own plugin.
            TorchCheckpointIO().save_checkpoint(checkpoint, path, storage_options)  # type: ignore[arg-type]  # what Lightning itself passes on
            return
        folder = place_at(path)
        if storage_options is not None:
            raise TypeError("records are saved without storage_options")
        LinkedParts.checked(self._unchanged, SUFFIX, folder)
        self.finish()
        with suppress(ValueError):
            self._unneeded.remove(folder)
        parts = self._parts_of(checkpoint)
        about = _for_people(checkpoint)
        step = int(checkpoint.get("global_step", 0))
        if is_running() and has_shares(checkpoint.get("state_dict", {})):
            self._save_together(folder, step, parts, about)
            return
        _prepare(folder)
        mark = _new_mark(folder)
        records = (record_of_part(part, f"{part.name}{mark}{SUFFIX}") for part in parts)
        if self._wait or n_processes() > 1:
            self._commit(folder, mark, step, records, about)
            return
        live_records = [*records]

        def write(snapshot: Records) -> None:
            copies = map(PartRecord.with_record, live_records, snapshot)
            self._commit(folder, mark, step, copies, about)

        self._saving = folder
        self._saves.begin([part.record for part in live_records], write, folder)

    @contextmanager
    def choosing(self, choice: Choice) -> Generator[None]:
        """Save what ``choice`` selects of `module`, as its part `MODEL`."""
        self._choice = choice
        try:
            yield
        finally:
            self._choice = WHOLE

    def _parts_of(self, checkpoint: Mapping[str, Any]) -> list[Part]:
        left_out = left_out_of(self.module, self._choice)
        training_state = dict(checkpoint)
        state_dict = {
            path: value
            for path, value in training_state.pop("state_dict", {}).items()
            if path not in left_out
        }
        tensors = {k: v for k, v in state_dict.items() if isinstance(v, torch.Tensor)}
        training_state[STATE_DICT_EXTRA] = {
            k: v for k, v in state_dict.items() if k not in tensors
        }
        # A class of OmegaConf, whose content is stored as plain data.
        training_state.pop("hparams_type", None)
        model = part_of(MODEL, Record.from_state_dict(tensors))
        model.left_out = left_out
        return [model, part_of(TRAINING, training_state)]

    def _save_together(
        self,
        folder: Place,
        step: int,
        parts: list[Part],
        about: Mapping[str, Any],
    ) -> None:
        """Write a checkpoint with all processes, each its shares; or start to."""
        agreed(lambda: _prepare(folder) if is_writer() else None)
        mark = broadcast_text(_new_mark(folder))
        shared = SharedParts.planned(
            parts,
            lambda part: writable(part, WHOLE, writer_for(...)),
        )
        save = SharedCheckpoint(shared, [], mark)

        def finish(
            scratch: Place, records: Records, rows: Mapping[str, PartRow]
        ) -> None:
            Checkpoint.write(scratch, step, (), {}, info=about, written=rows)

        def write(records: Records, group: Any = None) -> None:
            new_folder = partial(_new_folder, folder, mark)
            save.write(new_folder, records, finish, None, group)
            self._remove_unneeded()

        if self._wait:
            write(save.records)
            return
        write_in_turn = with_all_processes(write)
        self._saving = folder
        self._saves.begin(save.records, write_in_turn, folder)

    def finish(self) -> None:
        """Return once the last save is on disk; raise its error once."""
        self._saves.finish()
        self._saving = None
        if self._saves.ended_well:
            self._remove_unneeded()

    @property
    def report(self) -> SnapshotReport | None:
        """Report what the last save copied and how long it blocked; None at first.

        For saves that run in the background.
        """
        return self._saves.report

    def is_saving(self, path: object) -> bool:
        """Return whether ``path`` is a checkpoint that may still be being written."""
        return self._saving is not None and place_at(path) == self._saving

    def teardown(self) -> None:
        """Wait for the last save, and raise its error; free the copy's memory."""
        try:
            self.finish()
        finally:
            self._saves.free()

    def _commit(
        self,
        folder: Place,
        mark: str,
        step: int,
        parts: Iterable[PartRecord],
        about: Mapping[str, Any],
    ) -> None:
        save = None
        if isinstance(folder, Path):
            save = self._links.saver_after(self._last, folder.parent)
        with _new_folder(folder, mark) as scratch:
            Checkpoint.write(scratch, step, parts, {}, info=about, save=save)
        if isinstance(folder, Path):
            self._last = folder
        self._remove_unneeded()

    def _remove_unneeded(self) -> None:
        """Remove what waited for a save to succeed; each path in only one thread."""
        with suppress(IndexError):
            while True:
                _remove(self._unneeded.pop())

    def load_checkpoint(
        self,
        path: Any,
        map_location: Any | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Return what was saved, with every byte verified. Raises `RecordError`."""
        self.finish()
        if is_checkpoint(path) and isinstance(place_at(path), Path):
            self._last = Path(path).resolve()
        reading = ReadingIO(self.module)
        checkpoint = reading.load_checkpoint(path, map_location, weights_only)
        if self.module is not None and LEFT_OUT in checkpoint:
            left_out, state_dict = checkpoint[LEFT_OUT], checkpoint["state_dict"]
            live = live_values(left_out, self.module.state_dict())
            checkpoint["state_dict"] = {**live, **state_dict}
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the folder ``path``, after the running save if there is one."""
        folder = place_at(path)
        if self._saving is None:
            _remove(folder)
            return
        self._unneeded.append(folder)
        # The save may have ended in the meantime, after it looked for paths to remove.
        if self._saves.ended_well:
            self._remove_unneeded()


class ReadingIO(TorchCheckpointIO):
    """Writes Lightning's own format, and reads folders of records as well."""

    def __init__(self, module: LightningModule | None = None) -> None:
        """Set the ``module`` that reads are for, if it exists by then."""
        super().__init__()
        self.module = module

    def load_checkpoint(
        self,
        path: Any,
        map_location: Any | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Return what was saved. Raises `RecordError` for a damaged folder."""
        if is_checkpoint(path):
            return read_checkpoint(path, map_location, self.module)
        refuse_other_sources(path)
        place: Any = map_location or torch.device("cpu")
        loaded: dict[str, Any] = super().load_checkpoint(path, place, weights_only)
        return loaded


def let_read(trainer: Trainer, module: LightningModule) -> None:
    """Let ``trainer`` read folders of records, unless it has its own plugin.

    ``module`` is the one that it trains.
    """
    strategy: Any = trainer.strategy
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = ReadingIO(module)


def read_checkpoint(
    path: Any, map_location: Any | None = None, module: LightningModule | None = None
) -> dict[str, Any]:
    """Return a checkpoint in Lightning's form: a dict with ``state_dict``.

    The rules of the classes in ``module`` are applied, since Lightning has none. A
    running save may replace it meanwhile: everything that is returned is of one save.
    """
    return reread_if_replaced(
        place_at(path), lambda: _read_checkpoint(path, map_location, module)
    )


def _read_checkpoint(
    path: Any, map_location: Any | None, module: LightningModule | None
) -> dict[str, Any]:
    checkpoint = Checkpoint.read(path)
    record = checkpoint[MODEL]
    record.load_all()
    training_state: dict[str, Any] = dict(checkpoint[TRAINING])
    left_out = checkpoint.manifest.parts[MODEL].left_out
    if module is not None:
        record, left_out = carried_over(record, left_out, module)
    if left_out:
        training_state[LEFT_OUT] = sorted(left_out)
    state_dict = {**record.to_state_dict(), **training_state.pop(STATE_DICT_EXTRA, {})}
    if isinstance(map_location, str | torch.device):
        state_dict = {
            key: value.to(map_location) if isinstance(value, torch.Tensor) else value
            for key, value in state_dict.items()
        }
    return {**training_state, "state_dict": state_dict}


def _prepare(folder: Place) -> None:
    """Create the folder of a checkpoint, and clean up after saves that were killed."""
    if isinstance(folder, Path):
        refuse_home_sign(str(folder.parent))
        folder.parent.mkdir(parents=True, exist_ok=True)
        recover(folder.parent)
        _refuse_other_files(folder)
        sweep(folder.parent, ".+")


def _refuse_other_files(folder: Path) -> None:
    """Raise FileExistsError where a checkpoint would replace other files."""
    if folder.is_symlink() or not folder.is_dir() or (folder / FILE).exists():
        return
    name = next(iter(os.listdir(folder)), None)
    if name is not None:
        raise FileExistsError(
            errno.EEXIST,
            f"a folder with other files ({name}, ...) is in the way of the "
            "checkpoint; save under another name",
            str(folder),
        )


def _new_mark(folder: Place) -> str:
    """Return the prefix of one save's files, where several may be side by side."""
    return "" if isinstance(folder, Path) else new_mark()


def _new_folder(folder: Place, mark: str) -> AbstractContextManager[Place]:
    """Return a function that makes an empty folder, to become ``folder`` at the end."""
    if isinstance(folder, Path):
        return atomic_folder(folder)
    return _remote(folder).replacement(mark)


def _remove(folder: Place) -> None:
    if not isinstance(folder, Path):
        _remote(folder).remove()
    elif folder.is_dir():
        remove_folder(folder)
    else:
        folder.unlink(missing_ok=True)


def _remote(folder: Url) -> MarkedFolder:
    return MarkedFolder(folder, FILE, files_in)


def _for_people(training_state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON can hold of the values that users look for first."""
    about: dict[str, Any] = {}
    for key in _PEOPLE:
        if training_state.get(key) in (None, {}):
            continue
        try:
            about[key] = json.loads(json.dumps(training_state[key], allow_nan=False))
        except (TypeError, ValueError):
            about[key] = f"{training_state[key]!r:.1000}"
    return about
