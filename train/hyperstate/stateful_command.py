"""A command line for a function of one run that can be resumed."""

import functools
import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import torch

from ...config.command_line import CommandLine, CommandOption, Program, ProgramKind
from ...config.spelling import did_you_mean
from ...records.background_saves import SnapshotKind
from ...records.errors import RecordError
from ...records.io.progress import Progress
from ...records.io.remote.address import is_taken, size_at
from ...records.io.remote.url import Place
from ..checkpoints.choice import PatternsOfParts
from ..checkpoints.distributed import is_writer
from ..checkpoints.linked_parts import Unchanged
from .hyperstate import HyperState
from .live_edits import OnEdit
from .state_folders import place_named
from .stored_files import CONFIG, STATE

C = TypeVar("C")
S = TypeVar("S")
R = TypeVar("R")

_CHECKPOINT_DIR = CommandOption(
    name="--checkpoint-dir",
    metavar="DIR",
    help="the folder for checkpoints; the run resumes from the newest one",
)
_RESUME_FROM = CommandOption(
    name="--resume-from",
    metavar="PATH",
    help="a run's folder, a checkpoint or its state.ron to start from, which is not "
    "changed; once --checkpoint-dir has a checkpoint, that one is used",
    replaces_config=True,
)


class RunOptions(TypedDict, total=False):
    """How a run is started, saved and resumed, as arguments of `HyperState.load`.

    That documents each of them, and its default.
    """

    ignore_extra: bool
    ctx: dict[str, Any] | None
    keep_last: int | None
    every: int
    rng: bool
    hyperparameters: Literal["compare", "ignore"] | None
    on_edit: OnEdit | None
    edit_every: int
    only: PatternsOfParts | None
    exclude: PatternsOfParts | None
    unchanged: Unchanged
    wait: bool
    snapshot: SnapshotKind
    staging: int
    on_signal: int | None
    progress: Progress | None


def stateful_command(
    config_cls: type[C],
    state_cls: type[S],
    initial_state: Callable[..., S],
    checkpoint_key: str | None = None,
    **options: Unpack[RunOptions],
) -> Callable[[Callable[[HyperState[C, S]], R]], Program[HyperState[C, S], R]]:
    """Make a function of a `HyperState` a program that can be killed and resumed.

    It takes ``--config FILE``, ``--checkpoint-dir DIR``, ``--resume-from PATH``, fields
    as ``a.b=value``, and ``--help``; everything else is as with
    `burnish.config.command`, and the arguments are those of `HyperState.load`. The same
    command line starts a run and resumes it. The processes that ``torchrun`` starts are
    one run, with a process group.
    """
    _check_options(options)

    def read(line: CommandLine) -> HyperState[C, S]:
        run = HyperState.load(
            config_cls,
            state_cls,
            initial_state,
            _beginning(line),
            line.options[_CHECKPOINT_DIR.name],
            checkpoint_key,
            line.overrides,
            **options,
        )
        _tell_origin(run, line)
        return run

    kind: ProgramKind[HyperState[C, S]] = ProgramKind(
        config_cls=config_cls,
        argument_cls=HyperState,
        read=read,
        options=(_CHECKPOINT_DIR, _RESUME_FROM),
        mistakes=(OSError, ValueError, ImportError, RecordError),
        setting=launched_process_group,
        tells_mistakes=is_writer,
    )

    def decorate(
        function: Callable[[HyperState[C, S]], R],
    ) -> Program[HyperState[C, S], R]:
        return kind.decorate(_waiting_for_saves(function))

    return decorate


def _check_options(options: Mapping[str, object]) -> None:
    """Raise TypeError for an option that `HyperState.load` does not have."""
    names = [*RunOptions.__annotations__]
    for name in options:
        if name not in names:
            hint = did_you_mean(name, names) or f" It has {', '.join(names)}."
            raise TypeError(f"stateful_command has no option {name!r}.{hint}")


def _waiting_for_saves(
    function: Callable[[HyperState[C, S]], R],
) -> Callable[[HyperState[C, S]], R]:
    @functools.wraps(function)
    def finished(run: HyperState[C, S]) -> R:
        result = function(run)
        # The failure of a last save after it would not be reported elsewhere.
        run.wait()
        return result

    return finished


def _beginning(line: CommandLine) -> Place | None:
    """Return what the run begins with. ValueError for the wrong kind of file."""
    if line.config is not None:
        return _config_file(place_named(line.config))
    origin = line.options[_RESUME_FROM.name]
    return None if origin is None else _checkpoint(place_named(origin))


def _config_file(file: Place) -> Place:
    if isinstance(file, Path) and file.is_dir():
        raise ValueError(
            f"{file} is a folder, but --config takes a file; to resume from a run's "
            f"folder or a checkpoint: --resume-from {file}"
        )
    return file


def _checkpoint(place: Place) -> Place:
    """Return the folder of ``--resume-from``; a state file means its own."""
    if place.name == STATE and is_taken(place.parent / CONFIG):
        return place.parent
    if size_at(place) is not None:
        raise ValueError(
            f"{place} is not a checkpoint; --resume-from takes a run's folder, a "
            f"checkpoint, or the {STATE} in one, with its {CONFIG} beside it. To start "
            f"from a config: --config {place}"
        )
    return place


def _tell_origin(run: HyperState[Any, Any], line: CommandLine) -> None:
    """Print to stderr where the run resumes, and which files it does not read."""
    if run.origin is None or not is_writer():
        return
    ignored = "" if line.config is None else f"; {line.config} is not read again"
    print(f"resuming from {run.origin}{ignored}", file=sys.stderr)


_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The variables that a launcher sets in the environment of each process."""


@contextmanager
def launched_process_group() -> Generator[None]:
    """Initialize the group of the processes that were launched together.

    Nothing happens where one process was started alone, or where the program has
    initialized its group. After an error the group is left to the end of the process,
    since the other processes may never join.
    """
    distributed = torch.distributed
    is_launched = all(name in os.environ for name in _VARIABLES)
    if not (is_launched and distributed.is_available()) or distributed.is_initialized():
        yield
        return
    if os.environ["WORLD_SIZE"] == "1":
        yield
        return
    distributed.init_process_group()
    yield
    distributed.destroy_process_group()
