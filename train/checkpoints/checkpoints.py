"""Checkpoints: save a run in any loop, and resume it as if it had never stopped."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from torch import nn

from ...config.arguments import check_count
from ...config.process.interrupts import leaving_nothing_open, raise_of_signal
from ...config.process.user_warning import warn_user
from ...config.spelling import did_you_mean
from ...config.storage.opening import looks
from ...records.background_saves import (
    STAGING,
    BackgroundSaves,
    Records,
    SnapshotKind,
    SnapshotOptions,
    with_all_processes,
)
from ...records.calls import explain_calls
from ...records.errors import RecordError
from ...records.io.progress import Progress, progress_call
from ...records.io.remote.url import Place, Url, path_or_url
from ...records.io.save_handle import SaveHandle, join_saves
from ...records.processes.agreement import agreed
from ...records.processes.messages import broadcast_text, n_processes
from ...records.record_writer import WritableRecord, writer_for
from .checkpoint import RNG, Checkpoint, Number, nothing_to_restore
from .checkpoint_arguments import (
    METHODS_OF_OTHERS,
    OPTIONS_OF_OTHERS,
    as_number,
    check_part_name,
    check_rng,
    checked_step,
    ranking_of,
    refuse_one_checkpoint,
    refuse_run_of_lightning,
)
from .choice import Choice, PatternsOfParts
from .distributed import check_alike, check_same_checkpoint, is_writer, param_facts
from .end_signal import EndSignal
from .folders import Folders
from .later_folders import LaterFolders
from .linked_parts import LinkedParts, Unchanged
from .manifest import FILE, Manifest, PartRow, files_in
from .part import Part, PartRecord, writable
from .part_kinds import are_restored_together, part_records, parts_of, shared_names
from .process_generators import ProcessGenerators
from .remote_folders import Lasting, RemoteFolders, RunFolders
from .shared_checkpoint import SharedCheckpoint, SharedParts


class Checkpoints:
    """The checkpoints of one run, each a folder that appears atomically.

    ``save`` takes whatever the run consists of: modules, optimizers, schedulers,
    scalers, samplers, generators, plain data, and numbers to rank checkpoints by.
    ``latest`` is the highest step, even after a run went back to an earlier one. The
    newest ``keep_last`` are kept (None: all), and the best: ``("loss", 1)`` keeps the
    one with the lowest loss, ``("accuracy", 3, "max")`` the three with the highest
    accuracy. Under `torch.distributed` the first process writes and the others wait.
    The folder may be a URL that fsspec knows: there a save is complete when one small
    object says so, and a killed run leaves parts that a later one removes.

    ``only`` and ``exclude`` are patterns of the paths that are saved of the modules, as
    in `burnish.save_record`, or such patterns by the name of a part. A restore fills
    what was saved, does not change the rest of the module, and warns of it.
    ``unchanged="link"`` does not write tensors again whose values equal those of the
    previous checkpoint: files with them are shared by hard links, or copied if these do
    not work. Each folder stays complete whatever happens to the others; damage to a
    shared file damages all checkpoints that share it.

    With ``wait=False`` a save copies its parts, and a thread writes them while the run
    continues; the returned checkpoint has ``wait()``. Only one save is in progress at a
    time, and one copy, reused by all saves, is in memory. Accesses to the folder wait
    for it, and so does the end of the program. `wait`, and the end of ``with
    Checkpoints(...)``, raise the error of a failed save; otherwise the next save does.
    Several processes always wait. With ``snapshot="lazy"`` such a save does not copy
    tensors held by optimizers. Before their next step, and before a record is loaded,
    up to ``staging`` bytes of what is not yet written are copied, and the rest is
    waited for: the result of `save` has a ``report``. If anything else changes what is
    saved before that, the save fails.

    ``on_signal=signal.SIGTERM`` catches that signal: the next save is waited for, and
    ends the program with SystemExit. A loop that saves rarely checks `is_ending`.
    ``progress`` is called by saves and restores with (bytes done, bytes in total,
    path), for one part after the other; True: a line on stderr for a part that takes
    longer than a second. If saves are not waited for, the writing thread calls it. An
    exception from it ends the save or the restore, which then has changed nothing.
    Files written by ``unchanged="link"`` are not reported.
    """

    @explain_calls(
        "burnish.Checkpoints(folder{})",
        "write",
        cure=lambda _args, name: OPTIONS_OF_OTHERS.get(name),
        is_home=False,
    )
    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep_last: int | None = 3,
        keep_best: "str | tuple[str, int] | tuple[str, int, str] | None" = None,
        suffix: str = ".mpk",
        only: PatternsOfParts | None = None,
        exclude: PatternsOfParts | None = None,
        unchanged: Unchanged = "write",
        wait: bool = True,
        snapshot: SnapshotKind = "copy",
        staging: int = STAGING,
        on_signal: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        check_count("keep_last", keep_last, may_be_none=True)
        if not str(suffix).startswith((".mpk", ".json")):
            raise ValueError(
                f"suffix must be '.mpk', '.mpk.zst' or '.json', got {suffix!r}"
            )
        self.keep_last = keep_last
        self.keep_best = None if keep_best is None else ranking_of(keep_best)
        self.suffix = suffix
        self._choice = Choice(only, exclude)
        self._folders = folders_at(folder)
        self._later = LaterFolders(self._folders)
        self._links = LinkedParts.checked(unchanged, suffix, self._folders.root)
        refuse_one_checkpoint(self._folders.root)
        progress_call(progress)
        self._wait, self._progress = wait, progress
        kind = SnapshotOptions.checked(snapshot, staging, wait=wait)
        self._signal = None if on_signal is None else EndSignal(on_signal)
        self._saves = BackgroundSaves(keeps_memory=True, options=kind)

    @property
    def folder(self) -> Place:
        """The folder of the checkpoints: a path, or a URL."""
        return self._folders.root

    @property
    def steps(self) -> list[int]:
        """The steps that can be restored, in order."""
        return [*self._by_number()]

    @property
    def latest(self) -> int | None:
        """The newest step, None if nothing is saved."""
        return max(self._by_number(), default=None)

    @property
    def best(self) -> int | None:
        """The best step by ``keep_best``, None if none has that number."""
        return next(iter(self._ranked(self._by_number())), None)

    def __getitem__(self, step: "int | Literal['latest', 'best']") -> Checkpoint:
        """Return a checkpoint to inspect. KeyError if there is none."""
        number, folders = self._number_and_folders(step)
        for _ in looks():
            if number not in folders:
                break
            try:
                return self._read(folders[number], number)
            except FileNotFoundError:
                # A run in progress has just removed or replaced it.
                number, folders = self._number_and_folders(step)
        if number in folders and isinstance(self._folders, RemoteFolders):
            raise self._folders.lost(number)
        available = f"it has {', '.join(map(str, folders)) if folders else 'none'}"
        unranked = step == "best" and self.keep_best is None
        cure = (
            "; keep_best=('loss', 1) sets which number ranks them" if unranked else ""
        )
        raise KeyError(f"{self.folder} has no checkpoint {step!r}; {available}{cure}")

    @staticmethod
    def _read(folder: Place, number: int) -> Checkpoint:
        checkpoint = Checkpoint.read(folder)
        checkpoint.manifest.check_step(number, folder)
        return checkpoint

    def _number_and_folders(self, step: object) -> tuple[Any, Mapping[int, Place]]:
        """Return the number that ``step`` refers to, and all folders, at one moment."""
        folders = self._by_number()
        if step == "latest":
            return max(folders, default=None), folders
        if step == "best":
            return next(iter(self._ranked(folders)), None), folders
        return step, folders

    def __contains__(self, step: object) -> bool:
        return step in self._by_number()

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def _by_number(self) -> Mapping[int, Place]:
        """Return the folders by number, once no save of this process is in progress."""
        join_saves(self.folder)
        return self._folders.by_number()

    @explain_calls(
        "checkpoints.save(step, model=net{})",
        "write",
        is_home=False,
        checks_itself=("rng",),
    )
    def save(self, step: int, /, *, rng: bool = False, **parts: object) -> Checkpoint:
        """Write ``parts`` as the checkpoint of ``step``, in one atomic commit.

        Numbers (``loss=loss``) are stored for ranking and reading; ``rng=True`` saves
        the random generators of each process. An existing step is replaced. Then older
        checkpoints beyond those to be kept are removed. A failed or killed save leaves
        all others unchanged. TypeError names the path of a value that is not data. If
        saves are not waited for, this returns once a copy is made, and raises the error
        of the previous save if it was not raised yet; nothing is saved then.
        """
        number, objects, values = agreed(lambda: self._checked(step, rng, parts))
        shared = agreed(lambda: shared_names(objects))
        # Everything that determines the following messages is compared: a process that
        # sends one more than the others would wait forever.
        facts = {
            "rng": f"{rng}",
            "parts_in_shares": ", ".join(shared) or "none",
            "on_signal": f"{self._signal and self._signal.number}",
        }
        if shared:
            facts |= {"folder": str(self.folder), "wait": f"{self._wait}"}
        if n_processes() > 1:
            facts |= param_facts({n: p for n, p in objects.items() if n not in shared})
        check_alike("saves", parts=parts, step=number, **facts)
        if rng:
            objects[RNG] = ProcessGenerators.gathered()
        self._finish_saves()
        if shared:
            checkpoint = self._save_together(number, objects, values, shared)
        else:
            checkpoint = self._save(number, objects, values)
        if self._signal is not None and self._signal.has_come():
            checkpoint.wait()
            raise self._signal.end()
        return checkpoint

    def _checked(
        self, step: object, rng: object, parts: Mapping[str, object]
    ) -> tuple[int, dict[str, object], dict[str, Number]]:
        """Return the step, the objects and the numbers that `save` is to write."""
        number = checked_step(step, "save")
        check_rng(rng)
        values = {n: v for n, p in parts.items() if (v := as_number(p)) is not None}
        objects = {n: p for n, p in parts.items() if n not in values}
        for name, part in parts.items():
            check_part_name(name, part)
        if not parts and not rng:
            raise TypeError(
                "there is nothing to save; name the parts of the checkpoint, as in "
                f"checkpoints.save({number}, model=net)"
            )
        self._check_ranking(values)
        self._choice.check([n for n, p in objects.items() if isinstance(p, nn.Module)])
        return number, objects, values

    @property
    def is_ending(self) -> bool:
        """Whether the signal of ``on_signal`` was received: the next save ends the run.

        If several processes train together, all of them have to check it.
        """
        return self._signal is not None and self._signal.has_come()

    def prepare(self, *, rng: bool = False, **parts: object) -> None:
        """Allocate the memory for a copy of ``parts`` now, so that no save has to.

        For ``wait=False``, before the first save: allocating costs more than copying.
        """
        objects = {n: p for n, p in parts.items() if as_number(p) is None}
        if rng:
            objects[RNG] = ProcessGenerators()
        parts_of_copy = part_records(objects, self.suffix, self._choice)
        self._saves.prepare([part.record for part in parts_of_copy])

    def wait(self) -> None:
        """Return once the last save is on the disk; raise its error, if that is new."""
        self._saves.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        try:
            self.wait()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"the last save failed as well: {failure}")
        finally:
            self._saves.free()
        if self._signal is not None:
            self._signal.release()
            if error is None and self._signal.has_come_here:
                raise self._signal.end()

    @explain_calls(
        "checkpoints.restore(model=net{})",
        "read",
        is_home=False,
        checks_itself=("rng",),
    )
    @leaving_nothing_open
    def restore(
        self,
        step: "int | Literal['latest', 'best']" = "latest",
        /,
        *,
        rng: bool = False,
        hyperparameters: Literal["compare", "ignore"] | None = None,
        **parts: object,
    ) -> int:
        """Fill ``parts`` from a checkpoint and return its step; 0 if none is saved yet.

        Everything is verified first, and if anything does not fit, nothing is changed.
        ``hyperparameters="ignore"`` fills modules of other hyperparameters too. Raises
        TypeError without parts, `RecordMismatchError` naming the part,
        `RecordChecksumError` for damage, `RecordFormatError` for a missing file.
        """
        check_rng(rng)
        if step not in ("latest", "best"):
            checked_step(step, "restore")
        # Loading may draw random numbers, so the generators come last.
        filled = {**parts, **({RNG: ProcessGenerators()} if rng else {})}
        is_together = are_restored_together(filled)

        def find() -> Checkpoint | None:
            join_saves(self.folder)
            if step == "latest" and not self._folders.complete():
                if not filled:
                    raise nothing_to_restore(())
                refuse_run_of_lightning(self.folder)
                return None
            return self[step]

        for is_last in looks():
            if is_together:
                checkpoint = agreed(find)
                manifest = None if checkpoint is None else checkpoint.manifest
                check_same_checkpoint(manifest, str(self.folder), rng=rng)
            else:
                checkpoint = find()
            if checkpoint is None:
                return 0
            try:
                checkpoint.restore(
                    filled, hyperparameters=hyperparameters, progress=self._progress
                )
            except FileNotFoundError:
                if is_last or (step not in ("latest", "best") and step not in self):
                    raise
                continue  # a run in progress has removed it, or saved it again
            return checkpoint.step
        return 0

    if not TYPE_CHECKING:  # A type checker refuses unknown names itself.

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError; for another library's method name, with ours."""
            hint = (
                f". That is {METHODS_OF_OTHERS[name]}"
                if name in METHODS_OF_OTHERS
                else ""
            )
            text = f"{type(self).__name__!r} object has no attribute {name!r}{hint}"
            raise AttributeError(text, name=name, obj=self)

    def __repr__(self) -> str:
        # Debuggers and logs also show broken objects, and must not fail on them.
        try:
            steps = str([*self._folders.by_number()])
        except OSError as error:
            raise_of_signal(error)
            steps = f"<{error.strerror}>"
        return f"Checkpoints({str(self.folder)!r}, steps={steps})"

    def _prepare(self, number: int) -> None:
        """Create what a save needs; warn of later steps that this run did not save."""
        self._folders.prepare()
        self._later.warn(number)

    def _save(
        self, number: int, objects: Mapping[str, object], values: Mapping[str, Number]
    ) -> Checkpoint:
        def begin() -> Manifest | SaveHandle[Manifest] | None:
            if not is_writer():
                return None
            self._prepare(number)
            return self._begin(number, objects, values)

        source = agreed(begin)
        if source is None:
            return self[number]
        # Another run that writes here may have removed it by now.
        return Checkpoint(self.folder / self._folders.name(number), source)

    def _save_together(
        self,
        number: int,
        objects: Mapping[str, object],
        values: Mapping[str, Number],
        shared: list[str],
    ) -> Checkpoint:
        """Save with all processes, each of which writes its shares of some parts."""
        unshared = {n: p for n, p in objects.items() if n not in shared}
        agreed(lambda: self._prepare(number) if is_writer() else None)
        mark = broadcast_text(self._folders.new_mark())
        shared_parts = [*parts_of(shared, objects)]
        parts = SharedParts.planned(shared_parts, self._prepare_shared)
        live_parts = agreed(lambda: self._records_of(unshared, mark))
        name = self._folders.name(number)
        live_records = [part.record for part in live_parts]
        save = SharedCheckpoint(parts, live_records, mark)
        finish = partial(self._finish_shared, number, values, live_parts)
        new_folder = partial(self._folders.new, name, mark, self._lasting(number))

        def write(records: Records, group: Any = None) -> Manifest:
            save.write(new_folder, records, finish, self._progress, group)
            self._links.last_number = number
            return Manifest.read(self.folder / name)

        if self._wait:
            source: Manifest | SaveHandle[Manifest] = write(save.records)
        else:
            write_in_turn = with_all_processes(write)
            source = self._saves.begin(save.records, write_in_turn, self.folder)
        return Checkpoint(self.folder / name, source)

    def _prepare_shared(self, part: Part) -> WritableRecord:
        return writable(part, self._choice, writer_for(...))

    def _records_of(self, parts: Mapping[str, object], mark: str) -> list[PartRecord]:
        """Return what a single process writes of parts that all have."""
        if not is_writer():
            return []
        return [*part_records(parts, f"{mark}{self.suffix}", self._choice)]

    def _finish_shared(
        self,
        number: int,
        values: Mapping[str, Number],
        live_parts: list[PartRecord],
        scratch: Place,
        records: Records,
        rows_written: Mapping[str, PartRow],
    ) -> None:
        save = self._links.saver(self._folders)
        Checkpoint.write(
            scratch,
            number,
            map(PartRecord.with_record, live_parts, records),
            values,
            save=save,
            progress=self._progress,
            written=rows_written,
        )

    def _finish_saves(self) -> None:
        """Wait for the last save, and for those of other objects in this process."""
        self._saves.finish()
        join_saves(self.folder)

    def _begin(
        self, number: int, objects: Mapping[str, object], values: Mapping[str, Number]
    ) -> Manifest | SaveHandle[Manifest]:
        """Write a checkpoint, or start to, if saves are not waited for."""
        mark = self._folders.new_mark()
        parts = part_records(objects, f"{mark}{self.suffix}", self._choice)
        # Others would read what the first process has not written yet.
        if self._wait or n_processes() > 1:
            return self._commit(number, mark, parts, values)
        live_parts = [*parts]

        def write(snapshot: Records) -> Manifest:
            copies = map(PartRecord.with_record, live_parts, snapshot)
            return self._commit(number, mark, copies, values)

        records = [part.record for part in live_parts]
        return self._saves.begin(records, write, self.folder)

    def _commit(
        self,
        number: int,
        mark: str,
        parts: Iterable[PartRecord],
        values: Mapping[str, Number],
    ) -> Manifest:
        """Write a checkpoint; then remove those that need not be kept."""
        name, lasting = self._folders.name(number), self._lasting(number)
        with self._folders.new(name, mark, lasting) as scratch:
            save = self._links.saver(self._folders)
            manifest = Checkpoint.write(
                scratch, number, parts, values, save=save, progress=self._progress
            )
        self._links.last_number = number
        return manifest

    def _lasting(self, newest: int) -> Lasting | None:
        """Return what chooses the last ``keep_last`` and the best; None: all."""
        n_last = self.keep_last
        if n_last is None:
            return None

        def choose(folders: Mapping[int, Place]) -> set[int]:
            # A run that went back to an earlier step continues from there.
            chosen = {newest, *[*folders][-n_last:]}
            if self.keep_best is not None:
                scores, errors = self._scores(folders)
                chosen.update(_best_first(scores)[: self.keep_best[1]])
                # One of them may be the best: it is not removed, and ends no run.
                chosen.update(errors)
                _warn_of_unranked(errors)
            return chosen

        return choose

    def _ranked(self, folders: Mapping[int, Place]) -> list[int]:
        """Return the steps that have the number to rank by, the best first.

        Raises the error of a checkpoint that cannot be read.
        """
        scores, errors = self._scores(folders)
        for error in errors.values():
            raise error
        return _best_first(scores)

    def _scores(
        self, folders: Mapping[int, Place]
    ) -> tuple[dict[int, float], dict[int, RecordError]]:
        """Return the numbers to rank by, the lowest best, and errors, both by step."""
        scores: dict[int, float] = {}
        errors: dict[int, RecordError] = {}
        if self.keep_best is None:
            return scores, errors
        name, _, mode = self.keep_best
        sign = 1 if mode == "min" else -1
        for number, folder in folders.items():
            try:
                value = Checkpoint.read(folder).values.get(name)
            except FileNotFoundError:
                continue  # removed since it was listed
            except RecordError as error:
                errors[number] = error
                continue
            if value is not None and not math.isnan(value):
                scores[number] = sign * value
        return scores, errors

    def _check_ranking(self, values: Mapping[str, float]) -> None:
        if self.keep_best is None or not values or self.keep_best[0] in values:
            return
        name = self.keep_best[0]
        raise ValueError(
            f"keep_best ranks by {name!r}, but the numbers passed are "
            f"{', '.join(values)}.{did_you_mean(name, values)}"
        )


def _best_first(scores: Mapping[int, float]) -> list[int]:
    return sorted(scores, key=lambda number: (scores[number], number))


def _warn_of_unranked(errors: Mapping[int, RecordError]) -> None:
    for number, error in errors.items():
        warn_user(
            f"step {number} cannot be ranked for keep_best, so it is kept: {error}",
            RuntimeWarning,
        )


def folders_at(folder: str | os.PathLike[str]) -> RunFolders:
    """Return the checkpoints of the run at a path or a URL."""
    # A run that changes its directory continues with the same checkpoints.
    root = path_or_url(folder)
    if isinstance(root, Url):
        return RemoteFolders(root=root, marker=FILE, names_in=files_in)
    return Folders(root=root, marker=FILE)
