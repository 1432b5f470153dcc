"""The folder of one HyperState checkpoint: texts for users, records for objects."""

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_origin

from ...config.arguments import takes
from ...config.classes.field_types import Ctx
from ...config.errors import ConfigError
from ...config.files import check_text
from ...config.formats import config_format_named
from ...config.live.history import HISTORY, Edit, write_history
from ...config.short_text import with_article
from ...config.tree import NamedStruct
from ...config.versioned import has_versions, upgrade
from ...records.io.progress import Progress, progress_below
from ...records.io.remote.stored_folder import write_place
from ...records.io.remote.url import Place, Url
from ...records.linked_save import copy_linked
from ...records.open import digest_of, open_record
from ...records.processes.agreement import agreed
from ...records.processes.messages import n_processes
from ...records.record_writer import WritableRecord, writer_for
from ..checkpoints.choice import WHOLE, Choice
from ..checkpoints.distributed import param_facts
from ..checkpoints.part import MODULE
from ..checkpoints.part_kinds import modules_in, shared_names
from ..checkpoints.process_generators import state_of_process
from ..checkpoints.rng import Generators
from ..checkpoints.tied_parts import tied_names, ties_of
from ..plain_records import record_of, value_of
from .beginning import Beginning
from .config_change import check_change
from .digests import check_digest, read_digests, write_digests
from .lazy_fields import Deferred, Origin
from .moved_objects import marked_files
from .object_kind import FILLED, Description
from .restoring import Restoring
from .saved_with import SavedWith
from .state_objects import beside_filled, description_of, object_record
from .state_readback import check_state_read_back
from .state_text import Split
from .stored_files import CONFIG, RNG, STATE, StoredFiles

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class StateFiles:
    """The content of a checkpoint's folder."""

    config: str
    state: str
    """The text files, by name."""
    records: Iterable[tuple[str, WritableRecord]]
    """The record of each object, by its file; iterated once."""
    pending: Sequence[Deferred]
    """Fields that were not read since the state was restored: files are copied."""
    edits: Sequence[Edit] | None
    """The edits so far, where this process knows them."""
    shared: Mapping[str, Callable[[], WritableRecord]] = field(
        default_factory=dict[str, Callable[[], WritableRecord]]
    )
    """What makes the records of objects that are sharded over processes, by file.

    All processes write these together, into a folder each.
    """
    values: Mapping[str, object] = field(default_factory=dict[str, object])
    """Those objects."""

    def write(
        self,
        folder: Place,
        progress: Progress | None = None,
        shared_digests: Mapping[str, str] | None = None,
        save: Callable[[WritableRecord, Place], None] | None = None,
    ) -> None:
        """Write all files into ``folder``; ``progress`` is called for records.

        ``shared_digests`` are those of sharded objects, which are there already.
        ``save`` writes a record with links to older ones; None: each is written whole.
        """
        write_place(folder / CONFIG, self.config)
        digests = dict(shared_digests or {})
        for file, record in self.records:
            if save is None:
                record.save(folder / file, progress_below(file, progress))
            else:
                save(record, folder / file)
            digests[file] = digest_of(folder / file)
        if isinstance(folder, Path):
            self._write_to_disk(folder, digests)
        write_digests(folder, digests)
        write_place(folder / STATE, self.state)

    def _write_to_disk(self, folder: Path, digests: dict[str, str]) -> None:
        """Write what no storage holds: copies of files, and edits."""
        for deferred in self.pending:
            for file in deferred.files():
                copy_linked(Path(deferred.origin.files.file(file)), folder / file)
                # It was not verified: a digest of the copy would make a wrong file
                # valid.
                if file in deferred.origin.digests:
                    digests[file] = deferred.origin.digests[file]
        if self.edits is not None:
            write_history(folder / HISTORY, self.edits)

    def move_pending(self, folder: Place) -> None:
        """Let pending fields be read from ``folder``, which has their files now."""
        for deferred in self.pending:
            deferred.origin.files = StoredFiles(folder)


def state_files(
    config: object,
    state: object,
    generators: Mapping[str, Any] | None,
    ctx: Ctx | None = None,
    edits: Sequence[Edit] | None = None,
    choice: Choice = WHOLE,
    *,
    is_remote: bool = False,
) -> StateFiles:
    """Return the checkpoint of ``state``, whose records are made one by one.

    ``generators`` is the state of the random generators, None if it is not saved;
    ``ctx`` is the context for reading `Serializable` fields of the config again;
    ``choice`` selects what of modules is saved. For a storage (``is_remote``) pending
    fields are read now. ValueError for patterns of a path that is not a module of the
    state.
    """
    split, tree = _split(state, copies_files=not is_remote)
    shared = shared_names(split.blobs)
    descriptions = _descriptions(split, shared, choice)
    form = config_format_named("ron")
    text = form.write(tree)
    check_state_read_back(state, split, form.read(text), descriptions, ctx)
    config_text = check_text(config, form, elide_defaults=False, ctx=ctx)
    beside = SavedWith(config_text, generators is not None).metadata()

    def record_at(path: str) -> WritableRecord:
        file = split.file_at(path)
        value = split.blobs[path]
        return object_record(descriptions[path], path, value, file, beside, choice)

    def records() -> Iterator[tuple[str, WritableRecord]]:
        for path in split.blobs:
            if path not in shared:
                yield split.file_at(path), record_at(path)
        if generators is not None:
            yield RNG, writer_for(RNG).prepare(record_of(generators))

    return StateFiles(
        config_text,
        text,
        records(),
        split.pending,
        edits,
        shared={split.file_at(path): partial(record_at, path) for path in shared},
        values={split.file_at(path): split.blobs[path] for path in shared},
    )


def holds_shares(state: object) -> bool:
    """Return whether objects of the state are sharded over processes."""
    return n_processes() > 1 and bool(shared_names(_split(state)[0].blobs))


def module_facts(state: object) -> dict[str, str]:
    """Return the description of the state's modules, for `check_alike`."""
    return param_facts(_split(state)[0].blobs) if n_processes() > 1 else {}


def _descriptions(
    split: Split, shared: Sequence[str], choice: Choice
) -> dict[str, Description]:
    modules = modules_in(split.blobs)
    # Each has a record of its own, and only the program makes them share a tensor
    # again.
    ties = ties_of(split.blobs)
    filled = {*shared, *tied_names(ties)}
    descriptions = {
        path: description_of(value, modules, is_filled=path in filled)
        for path, value in split.blobs.items()
    }
    stored_modules = [path for path, d in descriptions.items() if d.part == MODULE]
    choice.check(stored_modules)
    for path in stored_modules:
        # The program makes the tensors that are left out, so it makes the module.
        if choice.of(path) != (None, None):
            descriptions[path] = beside_filled(descriptions[path])
    if any(description.kind == FILLED for description in descriptions.values()):
        descriptions = {p: beside_filled(d) for p, d in descriptions.items()}
    for path, of_one in ties.items():
        descriptions[path] = replace(descriptions[path], ties=of_one)
    return descriptions


@dataclass(frozen=True, slots=True)
class InitialState(Generic[S]):
    """Calls the user's function, and checks its result."""

    function: Callable[..., S]
    """The function takes a config, or a config and ``ctx``."""
    cls: type[S]
    ctx: dict[str, Any]

    def __call__(self, config: Any) -> S:
        """Return the initial state of a run. TypeError for another class."""
        state = self._call(config)
        expected = get_origin(self.cls) or self.cls
        if not isinstance(state, expected):
            raise TypeError(
                f"{getattr(self.function, '__qualname__', 'initial_state')} returned "
                f"{with_article(type(state).__qualname__)}, expected "
                f"{with_article(expected.__qualname__)}, the State of "
                "HyperState.load(Config, State, begin)"
            )
        return state

    def state_of(
        self,
        beginning: Beginning[Any],
        files: StoredFiles | None,
        *,
        ignore_extra: bool,
        hyperparameters: Literal["compare", "ignore"] | None,
    ) -> S:
        """Return the state in ``files``, or the initial state of a run."""
        if files is None:
            return self(beginning.config)
        stored_config = beginning.stored_config
        return read_state(
            files,
            self.cls,
            beginning.config,
            partial(self, beginning.config),
            self.ctx,
            ignore_extra=ignore_extra,
            hyperparameters=hyperparameters,
            begin_before=(
                None if stored_config is None else partial(self, stored_config)
            ),
        )

    def _call(self, config: Any) -> S:
        if takes(self.function, 2):
            return self.function(config, self.ctx)
        return self.function(config)


def read_state(
    files: StoredFiles,
    cls: type[S],
    config: object,
    begin: Callable[[], S] | None,
    ctx: dict[str, Any],
    *,
    ignore_extra: bool,
    hyperparameters: Literal["compare", "ignore"] | None = None,
    begin_before: Callable[[], S] | None = None,
    text: str = STATE,
) -> S:
    """Return the state in ``files``; ``begin`` makes a new one where needed.

    Without ``begin``, an object that only a program can make is a RecordMismatchError.
    ``begin_before`` makes the one of the stored config, if the stored objects may
    differ from those of ``config``. ``text`` is the file of the state.
    """
    tree, saved_files = files.tree(text), None
    if has_versions(cls):
        saved_files = marked_files(tree)
        try:
            tree = upgrade(cls, tree)
        except ConfigError as error:
            source = str(files.file(text))
            raise type(error)(source, error.problems) from error.__cause__
    restoring = Restoring(
        origin=Origin(files, digests=read_digests(files)),
        config=config,
        text=text,
        initial_state=begin,
        ctx=ctx,
        ignore_extra=ignore_extra,
        hyperparameters=hyperparameters,
        saved_files=saved_files,
    )
    state: S = restoring.state(cls, tree)
    if begin is not None and begin_before is not None:
        check_change(
            files,
            restoring.files,
            begin_before,
            begin,
            is_allowed=hyperparameters == "ignore",
        )
    return state


def stored_generators(files: StoredFiles) -> dict[str, Any] | None:
    """Return the stored random generators of this process, if they were saved.

    FileNotFoundError if they were and the file is missing.
    """
    name = str(files.file(RNG))
    if files.has(RNG):
        states = value_of(open_record(files.readable(RNG)))
        check_digest(files, RNG, read_digests(files))
        return state_of_process(states, name)
    if not any(saved.rng for saved in SavedWith.read_all(files)):
        return None
    raise FileNotFoundError(
        errno.ENOENT,
        "the random generators that were saved are missing; copy the file again, "
        "or continue with different random numbers: HyperState.load(..., rng=False)",
        name,
    )


def restore_generators(files: StoredFiles) -> None:
    """Restore the random generators of each process.

    Nothing happens if the checkpoint has none. Raises as `stored_generators`.
    """
    state = agreed(lambda: stored_generators(files))
    if state is not None:
        Generators().load_state_dict(state)


def _split(state: object, *, copies_files: bool = True) -> tuple[Split, Any]:
    split = Split()
    tree = split.tree(state)
    pending_files = {file.lower() for lazy in split.pending for file in lazy.files()}
    is_renamed = bool(pending_files & {file.lower() for file in split.files.values()})
    is_copied = copies_files and not any(
        deferred.is_in_shares or isinstance(deferred.origin.files.folder, Url)
        for deferred in split.pending
    )
    is_renamed = is_renamed or any(d.origin.has_moved for d in split.pending)
    if split.pending and (is_renamed or not is_copied):
        # A field was renamed, and another one may have its old name, which records
        # contain; or all processes have to write it; or a storage is not a disk: read
        # it, then write.
        for deferred in split.pending:
            deferred.load()
        return _split(state)
    if not isinstance(tree, NamedStruct):
        name = type(state).__qualname__
        raise TypeError(
            f"a state must be a dataclass or an Hparams, got {with_article(name)}"
        )
    return split, tree
