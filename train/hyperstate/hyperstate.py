"""HyperState: the config and the state of a run, and their checkpoints."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ...config.arguments import check_count, takes
from ...config.classes.editable import editable_paths
from ...config.classes.field_types import Ctx
from ...config.encode import encode
from ...config.files import check_config_class
from ...config.live.changes import changed_paths
from ...config.live.history import Edit
from ...config.live.live_config import LiveConfig, config_suffix
from ...config.process.interrupts import leaving_nothing_open
from ...config.process.transaction import Transaction
from ...config.process.user_warning import warn_user
from ...config.schedule import at as scheduled_at
from ...config.schedule.number import replace_numbers
from ...config.short_text import first_names, short_repr
from ...config.spelling import did_you_mean
from ...config.validation.overrides import override_texts
from ...records.background_saves import (
    STAGING,
    BackgroundSaves,
    Records,
    SnapshotKind,
    SnapshotOptions,
    with_all_processes,
)
from ...records.calls import explain_calls
from ...records.io.progress import Progress, progress_call
from ...records.io.remote.url import Place, Url, path_or_url
from ...records.io.save_handle import SnapshotReport, join_saves
from ...records.processes.agreement import agreed
from ...records.processes.messages import broadcast_text, n_processes
from ...records.record_writer import WritableRecord
from ..checkpoints.choice import Choice, PatternsOfParts
from ..checkpoints.distributed import check_alike, is_writer
from ..checkpoints.end_signal import EndSignal
from ..checkpoints.folders import Folders, made_folder
from ..checkpoints.later_folders import LaterFolders
from ..checkpoints.linked_parts import LinkedParts, Unchanged
from ..checkpoints.manifest import PartRow
from ..checkpoints.part_kinds import part_of
from ..checkpoints.process_generators import gathered_generators
from ..checkpoints.remote_folders import RunFolders
from ..checkpoints.shared_checkpoint import SharedCheckpoint, SharedParts
from .beginning import Beginning, Request, config_before, with_beginning
from .bound_optimizers import BoundOptimizers
from .lazy_fields import value_in_state
from .live_edits import LiveEdits, OnEdit
from .sent_files import sent_files
from .state_folder import (
    InitialState,
    StateFiles,
    holds_shares,
    module_facts,
    restore_generators,
    state_files,
)
from .state_folders import NewFolder, place_named, state_folders
from .stored_files import StoredFiles
from .unsaved_values import UnsavedValues, objects_in

if TYPE_CHECKING:
    import torch

C = TypeVar("C")
S = TypeVar("S")


class HyperState(Generic[C, S]):
    """The config and the state of a training run; `step` saves both.

    Make one with `load`. ``config`` is immutable data whose schedules follow the state;
    ``state`` is yours to change.
    """

    def __init__(
        self,
        config: C,
        state: S,
        *,
        folders: RunFolders | None = None,
        keep_last: int | None = 1,
        every: int = 1,
        rng: bool = True,
        edits: LiveEdits[C] | None = None,
        ctx: Ctx | None = None,
        only: PatternsOfParts | None = None,
        exclude: PatternsOfParts | None = None,
        unchanged: Unchanged = "write",
        wait: bool = True,
        snapshot: SnapshotKind = "copy",
        staging: int = STAGING,
        on_signal: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        _check_counts(keep_last, every)
        self.state = state
        self._source, self._rng, self._ctx = config, rng, ctx
        self._keep_last, self._every = keep_last, every
        self._folders = folders
        self._later = None if folders is None else _later(folders, keep_last)
        self._choice = Choice(only, exclude)
        root = None if folders is None else folders.root
        self._links = LinkedParts.checked(unchanged, ".mpk", root)
        kind = SnapshotOptions.checked(snapshot, staging, wait=wait)
        progress_call(progress)
        self._wait, self._progress = wait, progress
        self._signal = None if on_signal is None else EndSignal(on_signal)
        self._saves = BackgroundSaves(keeps_memory=True, options=kind)
        self._edits = edits
        self._unsaved = UnsavedValues.of(state)
        self._bound = BoundOptimizers()
        self._origin: Place | None = None
        self._restored_config: C | None = None
        self._is_scheduled = _has_schedules(config)
        self._in_force: Any = None
        self._edit: Transaction | None = None
        self._is_save_due = False
        self._config = config
        if folders is not None:
            self._number()
        self._follow()

    @classmethod
    @explain_calls(
        "HyperState.load(Config, State, begin, checkpoint_dir=folder{})",
        "write",
        is_home=False,
    )
    def load(
        cls,
        config_cls: type[C],
        state_cls: type[S],
        initial_state: Callable[..., S],
        path: str | os.PathLike[str] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_key: str | None = None,
        overrides: Iterable[str] = (),
        ignore_extra: bool = False,
        ctx: dict[str, Any] | None = None,
        *,
        keep_last: int | None = 1,
        every: int = 1,
        rng: bool = True,
        hyperparameters: Literal["compare", "ignore"] | None = None,
        on_edit: OnEdit | None = None,
        edit_every: int = 20,
        only: PatternsOfParts | None = None,
        exclude: PatternsOfParts | None = None,
        unchanged: Unchanged = "write",
        wait: bool = True,
        snapshot: SnapshotKind = "copy",
        staging: int = STAGING,
        on_signal: int | None = None,
        progress: Progress | None = None,
    ) -> "HyperState[C, S]":
        """Return the newest checkpoint in ``checkpoint_dir``, or start a run.

        A run starts with the config in ``path`` and ``initial_state(config)``; with
        ``(config, ctx)`` if it takes two. ``path`` may be a checkpoint too, which is
        not changed. ``checkpoint_key`` is the path of the int in the state that numbers
        checkpoints ("step"). ``overrides`` (``"optimizer.lr=0.1"``) apply to new and
        resumed runs alike; ``ignore_extra`` drops stored fields that the classes do not
        have.

        The newest ``keep_last`` checkpoints are kept (None: all); `step` writes at each
        multiple of ``every``; with ``rng`` the random generators are saved too.

        Modules and optimizers of a resumed run are the stored ones: an override, or an
        edit of the stored config, that would give a module other hyperparameters is an
        error; one that would change an optimizer is a warning.
        ``hyperparameters="ignore"`` permits it, and fills such modules, and those that
        no longer share the same tensors.

        Fields marked as editable may be changed while the run is running, in the config
        at the top of ``checkpoint_dir``; ``on_edit(config, changes)`` is called then,
        and any error it raises refuses the change. With several processes the file is
        checked every ``edit_every`` numbers of the state; the first process reads for
        all, and all return or raise the same.

        ``only`` and ``exclude`` are patterns of the paths of modules to save, or such
        patterns by the path of a module in the state, and ``unchanged="link"`` does not
        write tensors again that the previous checkpoint has, as `Checkpoints` does; a
        module that was saved in part is made by ``initial_state`` when the run resumes,
        and filled.

        With ``wait=False`` a save copies the state, and a thread writes the copy while
        the run continues, as `Checkpoints` does, also with ``snapshot="lazy"`` and
        ``staging``; `wait` raises the errors of saves, `report` describes the copies.
        ``on_signal=signal.SIGTERM`` handles that signal: the next `step` saves a
        checkpoint, whatever ``every`` is, waits for it, and ends the program with
        SystemExit. ``progress`` is called by saves, as that of `Checkpoints` is;
        objects are restored on first access, without progress.

        ``path`` and ``checkpoint_dir`` may be URLs that fsspec supports; no config is
        edited there, and no file is shared. Raises ConfigError, RecordError, or
        FileNotFoundError, naming file and field.
        """
        # These decide which messages follow, so the processes of a run compare them.
        compared_options: dict[str, Any] = {
            "keep_last": keep_last,
            "every": every,
            "rng": rng,
            "wait": wait,
            "on_signal": on_signal,
        }
        options: dict[str, Any] = {
            **compared_options,
            "only": only,
            "exclude": exclude,
            "unchanged": unchanged,
            "snapshot": snapshot,
            "staging": staging,
            "progress": progress,
        }
        key, context = checkpoint_key or "step", dict(ctx or {})
        attempt = ExitStack()

        def request_of_call() -> Request[C]:
            check_config_class(config_cls, "HyperState.load(Config, State, begin)")
            SnapshotOptions.checked(snapshot, staging, wait=wait)
            _check_counts(keep_last, every, edit_every)
            _check_functions(initial_state, on_edit)
            Choice(only, exclude)
            folders = _folders(checkpoint_dir, key)
            root = None if folders is None else folders.root
            LinkedParts.checked(unchanged, ".mpk", root)
            request = Request(
                config_cls=config_cls,
                state_cls=state_cls,
                path=None if path is None else place_named(path),
                folders=folders,
                key=key,
                overrides=override_texts(overrides),
                ignore_extra=ignore_extra,
                options={**compared_options, "edit_every": edit_every},
                ctx=context,
            )
            # Otherwise the first save would report a missing folder, after a step is
            # lost.
            if isinstance(root, Path) and is_writer():
                attempt.enter_context(made_folder(root))
            return request

        request = agreed(request_of_call)
        initial = InitialState(initial_state, state_cls, context)
        read = partial(
            initial.state_of,
            ignore_extra=ignore_extra,
            hyperparameters=hyperparameters,
        )

        def run_from(beginning: Beginning[C]) -> "HyperState[C, S]":
            files = sent_files(beginning.files)
            run = agreed(
                lambda: cls(
                    beginning.config,
                    read(beginning, files),
                    folders=request.folders,
                    ctx=context,
                    **options,
                )
            )
            run._resume(files, beginning.stored_config)
            agreed(lambda: run._watch(request, beginning, edit_every, on_edit))
            return run

        with attempt:
            return with_beginning(request, run_from)

    @property
    def config(self) -> C:
        """The config, with its scheduled numbers as of the last step."""
        return self._config

    @property
    def origin(self) -> Place | None:
        """The checkpoint from which the run resumed; None for a new run."""
        return self._origin

    def step(self) -> None:
        """Apply edits, update schedules from the state, and save a checkpoint.

        A checkpoint with the same number is replaced. If writing fails, existing
        checkpoints stay. An invalid edit is refused, and never raises. SystemExit once
        the signal of ``on_signal`` was received and the checkpoint is saved.
        """
        self._restored_config = None
        if self._edits is not None:
            try:
                self._edits.look(self._number, self._source, self._take)
            finally:
                self._edit = None
        self._follow()
        ending = self._signal if self._signal and self._signal.has_come() else None
        is_due = self._is_save_due or self._number() % self._every == 0
        is_due = is_due or ending is not None
        if self._folders is not None and is_due:
            self.save()
        if ending is not None:
            self.wait()
            raise ending.end()

    @leaving_nothing_open
    def save(self) -> Place:
        """Write a checkpoint of the current state, and return its folder.

        With background saves, the folder exists after `wait`. Within ``on_edit``, it
        exists at the end of `step`, when the edit is in force or refused.
        """
        folders = self._folders
        if folders is None:
            raise ValueError("there is no folder to save to; load with checkpoint_dir=")
        name = folders.name(self._number())
        if self._edit is not None:
            self._is_save_due = True  # what is in force is not decided yet
            keep_last = self._keep_last
            return NewFolder(
                folders=folders, name=name, mark="", keep_last=keep_last
            ).place
        self._is_save_due = False
        self._warn_of_changes_by_hand()
        self._saves.finish()
        join_saves(folders.root)
        generators = gathered_generators() if self._rng else None

        def begin() -> StateFiles | None:
            if is_writer():
                self._unsaved.warn(self.state)
            if not (is_writer() or holds_shares(self.state)):
                return None
            if is_writer():
                folders.prepare()
                if self._later is not None:
                    self._later.warn(self._number())
            return self._files(generators, is_remote=isinstance(folders.root, Url))

        files = agreed(begin)
        shared = {} if files is None else files.shared
        check_alike(
            "saves",
            folder=name,
            objects_in_shares=", ".join(shared) or "none",
            **agreed(lambda: module_facts(self.state)),
        )
        new_folder = NewFolder(
            folders=folders,
            name=name,
            mark=broadcast_text(folders.new_mark()),
            keep_last=self._keep_last,
        )
        if files is not None and shared:
            self._write_together(new_folder, files)
        else:
            agreed(lambda: None if files is None else self._write(new_folder, files))
        return new_folder.place

    def _files(
        self, generators: Mapping[str, Any] | None, *, is_remote: bool
    ) -> StateFiles:
        return state_files(
            self._source,
            self.state,
            generators,
            ctx=self._ctx,
            edits=None if self._edits is None else self._edits.known_edits,
            choice=self._choice,
            is_remote=is_remote,
        )

    def wait(self) -> None:
        """Return once the last save is on disk; raise its error once."""
        self._saves.finish()

    @property
    def report(self) -> SnapshotReport | None:
        """Report what the last save copied and how long it blocked; None at first.

        For background saves.
        """
        return self._saves.report

    def _write(self, new_folder: NewFolder, files: StateFiles) -> None:
        """Write a checkpoint, or start to if saves run in the background."""
        # Other processes would read what the first one has not written yet.
        if self._wait or n_processes() > 1:
            self._commit(new_folder, files)
            return
        records = dict(files.records)

        def write(snapshot: Records) -> None:
            copies = zip(records, snapshot, strict=True)
            self._commit(new_folder, replace(files, records=copies))

        self._saves.begin([*records.values()], write, new_folder.folders.root)

    def _write_together(self, new_folder: NewFolder, files: StateFiles) -> None:
        """Write a checkpoint with all processes, or start to."""
        parts = [part_of(file, value) for file, value in files.values.items()]
        shared = SharedParts.planned(parts, lambda part: files.shared[part.name]())
        unshared = agreed(lambda: dict(files.records) if is_writer() else {})
        save = SharedCheckpoint(shared, [*unshared.values()])

        def finish(
            scratch: Place, records: Records, rows: Mapping[str, PartRow]
        ) -> None:
            digests = {file: row.digest for file, row in rows.items() if row.digest}
            live = replace(files, records=zip(unshared, records, strict=True))
            live.write(scratch, self._progress, digests, self._saver(new_folder))

        def write(records: Records, group: Any = None) -> None:
            save.write(new_folder.opened, records, finish, self._progress, group)
            agreed(
                lambda: self._retire(new_folder, files) if is_writer(group) else None,
                groups=[group],
            )

        if self._wait:
            write(save.records)
            return
        root = new_folder.folders.root
        self._saves.begin(save.records, with_all_processes(write), root)

    def _commit(self, new_folder: NewFolder, files: StateFiles) -> None:
        """Write a checkpoint; once it exists, remove the older ones."""
        with new_folder.opened() as scratch:
            files.write(scratch, self._progress, save=self._saver(new_folder))
        self._retire(new_folder, files)

    def _retire(self, new_folder: NewFolder, files: StateFiles) -> None:
        files.move_pending(new_folder.place)
        new_folder.retire_others()

    def _saver(
        self, new_folder: NewFolder
    ) -> Callable[[WritableRecord, Place], None] | None:
        """Return what writes a record with links to the previous checkpoint."""
        folders = new_folder.folders
        if not self._links.is_on or not isinstance(folders, Folders):
            return None
        last_folder = self._links.last_folder(folders)

        def save(record: WritableRecord, file: Place) -> None:
            assert isinstance(file, Path)  # since it lies in the root
            earlier = None if last_folder is None else last_folder / file.name
            self._links.write(record, file, earlier, folders.root)

        return save

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits so far, and where the run began or resumed.

        With several processes only the first one knows.
        """
        return () if self._edits is None else self._edits.edits

    def bind_optimizer(
        self, optim: "torch.optim.Optimizer | dict[str, Any]", /, **paths: str
    ) -> None:
        """Let keys of the groups of ``optim`` follow fields of the config.

        ``run.bind_optimizer(run.state.optim, lr="optimizer.lr")`` sets them now, and at
        each `step` in which a schedule or an edit changes the field; groups that are
        added later follow then, too. One of its ``param_groups`` may follow alone.
        Raises ValueError for a key or a path that leads to no number.
        """
        stored_config = self._restored_config
        optimizers = self._optimizers()
        self._bound.bind(
            optim, self._config, paths, optimizers, stored_config, self._edit
        )
        self._bound.warn_of_replaced(optimizers)

    def _optimizers(self) -> list[Any]:
        return [o for o in objects_in(self.state) if hasattr(o, "param_groups")]

    def __repr__(self) -> str:
        return f"HyperState(config={self._config!r}, state={self.state!r})"

    def _resume(self, files: StoredFiles | None, stored_config: C | None) -> None:
        """Resume from ``files``, with their random numbers; or start the run."""
        if files is not None:
            self._origin = files.folder
            self._restored_config = (
                self._source if stored_config is None else stored_config
            )
            if self._rng:
                restore_generators(files)

    def _watch(
        self,
        request: Request[C],
        beginning: Beginning[C],
        every: int,
        on_edit: OnEdit | None,
    ) -> None:
        """Watch the config at the top of the run's folder, if it may be edited."""
        if self._folders is None or not editable_paths(type(self._source)):
            return
        if not isinstance(self._folders, Folders):
            if is_writer():
                warn_user(
                    f"{self._folders.root}: config edits during a run work only "
                    "in local folders, not in remote storage; nothing in this "
                    "run can be edited",
                    RuntimeWarning,
                )
            return
        number, file = self._number(), request.path
        live: LiveConfig[C] | None = None
        if is_writer():
            self._folders.prepare()
            live = LiveConfig(
                self._folders.root,
                self._source,
                suffix=config_suffix(None if file is None else Path(file)),
                past=beginning.past,
                stored=config_before(request, beginning),
                overrides=request.overrides,
                step=number,
                ctx=self._ctx,
            )
        self._in_force = encode(self._source)
        self._edits = LiveEdits(
            live, number=number, every=every, on_edit=on_edit, ctx=self._ctx
        )

    def _take(self, config: C, transaction: Transaction) -> None:
        """Make ``config`` the current one."""
        self._warn_of_changes_by_hand()
        before = self._source, self._is_scheduled, self._config, self._in_force

        def put_back() -> None:
            self._source, self._is_scheduled, self._config, self._in_force = before

        transaction.undo_with(put_back)
        self._edit = transaction
        self._in_force = encode(config)
        self._source, self._is_scheduled = config, _has_schedules(config)
        self._config = (
            scheduled_at(config, self.state) if self._is_scheduled else config
        )
        self._bound.edit(self._config, transaction)

    def _follow(self) -> None:
        if self._is_scheduled:
            self._config = scheduled_at(self._source, self.state)
        self._bound.update(self._config)

    def _warn_of_changes_by_hand(self) -> None:
        """Warn of what the program changed in the config, or beside it in the state."""
        if self._bound.has_bonds:
            self._bound.warn_of_replaced(self._optimizers())
        if self._in_force is None:
            return
        in_force = encode(self._source)
        if paths := changed_paths(self._in_force, in_force):
            self._in_force = in_force
            warn_user(
                f"{first_names(paths, 8)}: the program changed the config of the run, "
                "but the file to edit has the earlier value. The next edit, or a "
                "resumed run, restores that; it is refused if the field is not "
                "editable. Change it in the file, or by the command `burnish set`; "
                "what a program changes belongs into the state",
                RuntimeWarning,
            )

    def _number(self) -> int:
        """Return the number that names checkpoints. ValueError if it is none."""
        key = "step" if self._folders is None else self._folders.key
        step = value_in_state(self.state, key)
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            names = [name for name in dir(self.state) if not name.startswith("_")]
            hint = did_you_mean(key, names) if step is None else ""
            raise ValueError(
                f"checkpoint_key={key!r} must name an int of the state, at least 0; "
                f"found {step!r:.60}.{hint}"
            )
        return step


def _check_counts(keep_last: int | None, every: int, edit_every: int = 1) -> None:
    check_count("keep_last", keep_last, may_be_none=True)
    check_count("every", every)
    check_count("edit_every", edit_every)


def _check_functions(initial_state: object, on_edit: object) -> None:
    if not callable(initial_state):
        raise TypeError(
            "initial_state must be a function that returns the state for a config, "
            f"got {short_repr(initial_state)}"
        )
    # A function that cannot be called would refuse every edit later.
    if on_edit is not None and not (callable(on_edit) and takes(on_edit, 2)):
        raise TypeError(
            "on_edit must be a function of (config, changes), got "
            f"{short_repr(on_edit)}"
        )


def _folders(
    checkpoint_dir: str | os.PathLike[str] | None, key: str
) -> RunFolders | None:
    if checkpoint_dir is None:
        return None
    # A run that changes its working directory keeps the same checkpoints.
    root = path_or_url(checkpoint_dir)
    join_saves(root)
    return state_folders(root, key)


def _later(folders: RunFolders, keep_last: int | None) -> LaterFolders:
    is_alone = keep_last == 1 and isinstance(folders, Folders)
    return LaterFolders(folders, removes_them=is_alone)


def _has_schedules(config: Any) -> bool:
    met: list[Any] = []

    def note(number: Any) -> Any:
        met.append(number)
        return number

    replace_numbers(config, note)
    return bool(met)
