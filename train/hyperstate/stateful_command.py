"""A command line for a function of one run that goes on where it was."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from ...config.command_line import CommandLine, CommandOption, Program, ProgramKind
from ...records.background_saves import STAGING, SnapshotKind
from ...records.errors import RecordError
from ..checkpoints.distributed import is_writer
from ..checkpoints.process_group import launched_process_group
from .hyperstate import HyperState
from .live_edits import OnEdit
from .stored_files import CONFIG, STATE

C = TypeVar("C")
S = TypeVar("S")
R = TypeVar("R")

_CHECKPOINT_DIR = CommandOption(
    name="--checkpoint-dir",
    metavar="DIR",
    help="where checkpoints are kept; the newest in it is gone on from",
)
_RESUME_FROM = CommandOption(
    name="--resume-from",
    metavar="PATH",
    help="a run's folder, a checkpoint or its state.ron to begin with, which stays as "
    "it is; once --checkpoint-dir has a checkpoint, that one is taken",
    replaces_config=True,
)


def stateful_command(
    config_cls: type[C],
    state_cls: type[S],
    initial_state: Callable[..., S],
    checkpoint_key: str | None = None,
    *,
    ignore_extra: bool = False,
    ctx: dict[str, Any] | None = None,
    keep_last: int | None = 1,
    every: int = 1,
    rng: bool = True,
    hyperparameters: Literal["compare", "ignore"] | None = None,
    on_edit: OnEdit | None = None,
    edit_every: int = 20,
    wait: bool = True,
    snapshot: SnapshotKind = "copy",
    staging: int = STAGING,
) -> Callable[[Callable[[HyperState[C, S]], R]], Program[HyperState[C, S], R]]:
    """Make a function of a `HyperState` a program that can be killed and goes on.

    It takes ``--config FILE``, ``--checkpoint-dir DIR``, ``--resume-from PATH``, fields
    as ``a.b=value``, and ``--help``; all else is as with `burnish.config.command`, and
    the arguments are those of `HyperState.load`. The same words begin a run and go on
    with it. The processes that ``torchrun`` starts are one run, with a process group.
    """

    def read(line: CommandLine) -> HyperState[C, S]:
        run = HyperState.load(
            config_cls,
            state_cls,
            initial_state,
            _beginning(line),
            line.options[_CHECKPOINT_DIR.name],
            checkpoint_key,
            line.overrides,
            ignore_extra,
            ctx,
            keep_last=keep_last,
            every=every,
            rng=rng,
            hyperparameters=hyperparameters,
            on_edit=on_edit,
            edit_every=edit_every,
            wait=wait,
            snapshot=snapshot,
            staging=staging,
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


def _waiting_for_saves(
    function: Callable[[HyperState[C, S]], R],
) -> Callable[[HyperState[C, S]], R]:
    @functools.wraps(function)
    def finished(run: HyperState[C, S]) -> R:
        result = function(run)
        # Nobody else would hear of a last save that failed after it.
        run.wait()
        return result

    return finished


def _beginning(line: CommandLine) -> Path | None:
    """Return what the run begins with. ValueError for a wrong sort of file."""
    if line.config is not None:
        return _config_file(Path(line.config))
    origin = line.options[_RESUME_FROM.name]
    return None if origin is None else _checkpoint(Path(origin))


def _config_file(file: Path) -> Path:
    if file.is_dir():
        raise ValueError(
            f"{file} is a folder, and --config takes a file; to go on from a run's "
            f"folder or a checkpoint: --resume-from {file}"
        )
    return file


def _checkpoint(place: Path) -> Path:
    """Return the folder that ``--resume-from`` means; a state stands for its own."""
    if place.name == STATE and (place.parent / CONFIG).exists():
        return place.parent
    if place.is_file():
        raise ValueError(
            f"{place} is no checkpoint; --resume-from takes a run's folder, a "
            f"checkpoint, or the {STATE} in one, with its {CONFIG} beside it. To begin "
            f"with a config: --config {place}"
        )
    return place


def _tell_origin(run: HyperState[Any, Any], line: CommandLine) -> None:
    """Say on stderr where the run goes on, and what is not read again then."""
    if run.origin is None or not is_writer():
        return
    ignored = "" if line.config is None else f"; {line.config} is not read again"
    print(f"going on from {run.origin}{ignored}", file=sys.stderr)
