"""The start of a run, or the point from which it resumes, on all of its processes."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Generic, TypeVar, get_origin

from ...config.classes.field_types import Ctx
from ...config.classes.fields import fields_of, is_struct
from ...config.errors import ConfigError, ConfigSyntaxError
from ...config.files import MAX_BYTES, dumps, load, loads, text_of
from ...config.formats import config_format_of
from ...config.live.history import (
    HISTORY,
    Edit,
    edits_in,
    edits_of_now,
    last_overrides,
    read_history,
    standing_overrides,
)
from ...config.process.user_warning import warn_user
from ...config.schema.derive import type_of
from ...config.validation.validate import build
from ...records.errors import RecordFormatError
from ...records.io.remote.address import size_at
from ...records.io.remote.stored_folder import read_place
from ...records.io.remote.url import Place, Url
from ...records.processes.agreement import agreed
from ...records.processes.messages import (
    broadcast_text,
    is_any,
    n_processes,
    rank,
)
from ..checkpoints.distributed import is_writer
from ..checkpoints.folders import LATEST, Folders, numbered_name
from ..checkpoints.remote_folders import RunFolders
from ..checkpoints.rng import restored_generators
from .digests import FILE as DIGESTS
from .lazy_fields import value_in_state
from .saved_with import text_before_edit
from .state_folders import holds_state, state_folders
from .stored_files import CONFIG, STATE, StoredFiles, check_texts

C = TypeVar("C")
T = TypeVar("T")

TRIES = 16
"""How often a reader retries after a writer removed what it was reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[C]):
    """The options that determine the config and the checkpoint of a run."""

    config_cls: type[C]
    state_cls: type
    path: Place | None
    """A config file, a checkpoint or a folder of them."""
    folders: RunFolders | None
    """The run's own checkpoints, which take precedence."""
    key: str
    overrides: list[str]
    ignore_extra: bool
    options: dict[str, object]
    """Other options on which the processes of a run have to agree."""
    ctx: dict[str, Any]
    """The context for `Serializable` fields of the config; each process has its own."""

    def facts(self) -> dict[str, str]:
        """Return the values that must be equal on all processes, by name."""
        return {
            "config_cls": self.config_cls.__qualname__,
            "the field of its config_cls": _fields_text(self.config_cls),
            "state_cls": _class_of(self.state_cls).__qualname__,
            "the fields of its state_cls": ", ".join(_field_names(self.state_cls)),
            "checkpoint_key": self.key,
            "a checkpoint_dir": "no" if self.folders is None else "yes",
            "overrides": repr(self.overrides),
            "ignore_extra": repr(self.ignore_extra),
            **{name: repr(option) for name, option in self.options.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning(Generic[C]):
    """The result of a request."""

    config: C
    stored_config: C | None = None
    """The config that the stored objects were made with, if it is not ``config``."""
    files: StoredFiles | None = None
    """The checkpoint to resume from; only on the first process."""
    past: tuple[Edit, ...] = ()
    """The edits up to it; only on the first process."""

    def is_outdated(self) -> bool:
        """Return whether another checkpoint has replaced this one since."""
        return is_any(self.files is not None and not self.files.is_current)

    def close(self) -> None:
        """Close the folder of the checkpoint."""
        if self.files is not None:
            self.files.close()


def shared_beginning(request: Request[C]) -> Beginning[C]:
    """Return the first process's result for ``request``, on all processes.

    The config is the first one's too. Raises ValueError for processes with different
    options, and the errors of `find_beginning`.
    """
    if n_processes() == 1:
        return find_beginning(request)
    _check_alike(request)
    beginning = agreed(lambda: find_beginning(request) if is_writer() else None)
    texts = agreed(
        lambda: None if beginning is None else _texts(beginning, request.ctx)
    )
    config, stored_config = json.loads(broadcast_text(json.dumps(texts)))

    def read(text: str) -> C:
        return loads(request.config_cls, text, ctx=request.ctx)

    def received() -> Beginning[C]:
        config_of_state = None if stored_config is None else read(stored_config)
        return beginning or Beginning(
            config=read(config), stored_config=config_of_state
        )

    return agreed(received)


def with_beginning(request: Request[C], act: Callable[[Beginning[C]], T]) -> T:
    """Return the result of ``act`` for the beginning that ``request`` finds.

    It is called again if another checkpoint replaced that one in the meantime, and the
    random generators are reset if it raises.
    """
    for n_more_tries in reversed(range(TRIES)):
        beginning = shared_beginning(request)
        try:
            with restored_generators(if_it_raises=True):
                return act(beginning)
        except Exception:
            if not n_more_tries or not beginning.is_outdated():
                raise
        finally:
            beginning.close()
    raise AssertionError("the last try returns or raises")


def find_beginning(request: Request[C]) -> Beginning[C]:
    """Return the newest checkpoint of the run, or the one at the request's path.

    Raises ConfigError, RecordError, or FileNotFoundError, naming file and field.
    """
    for n_more_tries in reversed(range(TRIES)):
        folder = _source(request.path, request.folders, request.key)
        if folder is None:
            break
        files: StoredFiles | None = None
        try:
            files = StoredFiles.of_folder(folder, (CONFIG, STATE, DIGESTS, HISTORY))
            return _going_on(request, files)
        except Exception:
            is_current = files is not None and files.is_current
            if is_current or not n_more_tries:
                raise
            # If it is gone, a running writer has removed or replaced it.
    _warn_of_other_keys(request)
    return Beginning(config=_config_of(request, request.overrides))


def _warn_of_other_keys(request: Request[Any]) -> None:
    """Warn if a run begins in a folder whose checkpoints count something else."""
    folders = request.folders
    foreign_folders = folders.of_other_keys() if isinstance(folders, Folders) else {}
    for key, folder in foreign_folders.items():
        warn_user(
            f"{folder.parent}: this run starts from scratch, although the folder "
            f"has {folder.name}, which was saved with checkpoint_key={key!r}, "
            f"and this run counts {request.key!r}. To resume from it, pass "
            f"path={str(folder)!r}; otherwise, use a separate folder for this run",
            RuntimeWarning,
        )


def config_before(request: Request[C], beginning: Beginning[C]) -> C | None:
    """Return the config previously in force at this state, None if unknown.

    A run that reached no checkpoint began with the text in its history.
    """
    folders = request.folders
    if beginning.files is not None or not isinstance(folders, Folders):
        return beginning.stored_config
    stored_edits = read_history(folders.root / HISTORY)
    edits = edits_of_now(_class_of(request.config_cls), stored_edits)
    with suppress(ConfigError):
        if edits:
            return _config_of(request, last_overrides(edits))
    return None


def _config_of(request: Request[C], overrides: Iterable[str]) -> C:
    """Return the config in the request's file, or its defaults."""
    file = request.path
    if not isinstance(file, Url):
        return load(
            request.config_cls, file, overrides, request.ignore_extra, ctx=request.ctx
        )
    form = config_format_of(Path(file.name))
    try:
        tree = form.read(text_of(read_place(file, MAX_BYTES)))
    except ConfigSyntaxError as error:
        raise error.within(file) from None
    config: C = build(
        request.config_cls,
        tree,
        source=file,
        overrides=overrides,
        ignore_extra=request.ignore_extra,
        ctx=request.ctx,
    )
    return config


def _going_on(request: Request[C], files: StoredFiles) -> Beginning[C]:
    check_texts(files, CONFIG, STATE)
    _check_number(request, files)
    stored_edits = edits_in(files.data(HISTORY)) if files.has(HISTORY) else []
    past = edits_of_now(_class_of(request.config_cls), stored_edits)
    changes = standing_overrides(request.overrides, past)

    def read_config(overrides: Iterable[str]) -> Any:
        return build(
            request.config_cls,
            files.tree(CONFIG),
            source=str(files.file(CONFIG)),
            overrides=overrides,
            ignore_extra=request.ignore_extra,
            ctx=request.ctx,
        )

    config: C = read_config(changes)
    stored_config: C = read_config(()) if changes else config
    edited = text_before_edit(files)
    is_changed = stored_config != config or edited is not None
    if edited is not None:
        # A text that the current classes cannot read cannot be compared.
        with suppress(ConfigError):
            stored_config = loads(
                request.config_cls,
                edited,
                ignore_extra=request.ignore_extra,
                ctx=request.ctx,
            )
    return Beginning(
        config=config,
        stored_config=stored_config if is_changed else None,
        files=files,
        past=tuple(past),
    )


def _check_number(request: Request[Any], files: StoredFiles) -> None:
    """Raise RecordFormatError for a state with a lower number than its folder's.

    It is of an older checkpoint than the objects beside it; and a run resumed from it
    would begin there again after each kill, until it reached the folder's number. A
    number that the user raised is accepted, and so is one that a run only begins with.
    """
    folders = request.folders
    if folders is None or files.folder.parent != folders.root:
        return
    match = numbered_name(request.key).fullmatch(files.folder.name)
    number = value_in_state(files.tree(STATE), request.key)
    # A number that is not a field of the state is not in its text.
    if match is None or type(number) is not int or number >= int(match[1]):
        return
    raise RecordFormatError(
        str(files.file(STATE)),
        f"the state of {request.key} {number}",
        f"that of {request.key} {int(match[1])}, as the folder is named",
        "Copy the folder again, or resume from an older one. If you changed it "
        "on purpose, start another run from it: path=folder.",
    )


def _texts(beginning: Beginning[Any], ctx: Ctx) -> tuple[str, str | None]:
    stored_config = beginning.stored_config
    text = dumps(beginning.config, ctx=ctx)
    return text, None if stored_config is None else dumps(stored_config, ctx=ctx)


def _check_alike(request: Request[Any]) -> None:
    """Raise ValueError on all processes if one has different options."""
    facts = agreed(request.facts)
    of_first: dict[str, str] = json.loads(broadcast_text(json.dumps(facts)))
    agreed(lambda: _compare(facts, of_first))


def _compare(facts: dict[str, str], of_first: dict[str, str]) -> None:
    for name, fact in facts.items():
        if fact != of_first[name]:
            line, line_of_first = _first_difference(fact, of_first[name])
            raise ValueError(
                f"process {rank()} loads the run with {name} {line}, and process 0 "
                f"with {name} {line_of_first}; all processes of a run must agree"
            )


def _first_difference(text: str, text_of_first: str) -> tuple[str, str]:
    """Return the first lines that differ, or the rest of the longer one."""
    lines = zip_longest(
        text.splitlines(), text_of_first.splitlines(), fillvalue="(no more)"
    )
    return next((line, of_first) for line, of_first in lines if line != of_first)


def _fields_text(cls: type) -> str:
    """Return the fields of a config, one per line, without random defaults."""
    if not is_struct(_class_of(cls)):
        return ""
    fields = fields_of(cls).values()
    return "\n".join(f"{field.name}: {type_of(field.annotation)}" for field in fields)


def _field_names(cls: type) -> list[str]:
    return [*fields_of(cls)] if is_struct(_class_of(cls)) else []


def _class_of(cls: Any) -> type:
    origin: type = get_origin(cls) or cls
    return origin


def _source(path: Place | None, folders: RunFolders | None, key: str) -> Place | None:
    """Return the checkpoint to restore: the run's newest, or the one at ``path``."""
    complete = {} if folders is None else folders.complete()
    if complete:
        return complete[max(complete)]
    if path is None:
        return None
    if isinstance(path, Url):
        return _source_in_storage(path, key)
    if not path.suffix and not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; expected a config file or a folder of checkpoints"
        )
    if not path.is_dir():
        return None
    if holds_state(path):
        return path
    return _newest(path, key)


def _source_in_storage(url: Url, key: str) -> Place | None:
    """Return the result of `_source` for a URL; a storage object is a config."""
    if size_at(url) is not None:
        return None
    return url if holds_state(url) else _newest(url, key)


def _newest(root: Place, key: str) -> Place:
    inside = state_folders(root, key).complete()
    if not inside:
        raise FileNotFoundError(
            f"{root} is neither a config file nor a checkpoint: expected {CONFIG} and "
            f"{STATE} in it, or folders like {LATEST}{key}{50:012d}"
        )
    return inside[max(inside)]
