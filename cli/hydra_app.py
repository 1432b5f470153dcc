"""A program run by Hydra: its file, overrides, run folder and readable errors."""

import logging
import os
import signal
import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..config.path import child
from ..config.process.user_traceback import error_text, print_error_text
from ..config.short_text import short_repr
from ..config.spelling import did_you_mean
from .hydra_keys import complete_keys
from .hydra_numbers import check_file, check_words, composed_files
from .hydra_words import FOLDER_VARIABLE, HydraWords
from .lightning_output import LOGGERS, lightning_output
from .termination import STATUS, Terminated, raised_termination

Task = Callable[[dict[str, Any], Path], None]
"""Called with the composed and resolved configuration and the folder of the run."""


@dataclass(frozen=True, slots=True)
class Job:
    """One finished job of a sweep."""

    sweep: Path
    """The folder that holds all jobs."""

    folder: Path
    overrides: tuple[str, ...]
    problem: str
    """The error message of the job; empty if it succeeded."""


Watcher = Callable[[Job], object]

_FULL_ERROR = "HYDRA_FULL_ERROR"


def run_on_hydra(
    parser: ArgumentParser,
    argv: Sequence[str],
    task: Task,
    after_job: Watcher = lambda job: None,
) -> int:
    """Compose what ``argv`` asks for, run ``task`` with it, and return the status.

    The words are those of Hydra, in any order: ``a.b=v --config-name X +new=v -m``.
    ``parser`` prints the help, and ``after_job`` is called with each job of a sweep.
    """
    prog = parser.prog
    try:
        import_module("hydra")
    except ImportError:
        print(
            f"error: {prog} needs hydra: pip install 'burnish[train]'", file=sys.stderr
        )
        return 2
    folder = Path()
    try:
        words = HydraWords.of(argv)
        if words.is_help:
            parser.print_help()
            if words.config_name is None:
                return 0
        # Unlike Path.resolve, abspath treats a link to itself as a missing file.
        where = words.config_path or os.environ.get(FOLDER_VARIABLE) or "."
        folder = Path(os.path.realpath(where))
        with _hydra_errors_raised(), raised_termination():
            return _run_words(prog, folder, words, task, after_job)
    except Terminated as ending:
        print_error_text(f"{prog} was {ending}")
        return STATUS
    except Exception as error:  # raised by Hydra and by whatever it was given
        print_error_text(_text(error, folder))
        return 2


def run_apart(task: Callable[[], object], is_first_failure: Callable[[], bool]) -> int:
    """Run a task that another process has composed, and return the status.

    Errors are printed as by `run_on_hydra`, except those that only follow from an error
    of another process. Ctrl-C is handled by the process that composed the task.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with lightning_output():
            task()
    except Exception as error:  # a user's model may raise anything
        if is_first_failure():
            print_error_text(error_text(error))
        return 2
    return 0


def _run_words(
    prog: str, folder: Path, words: HydraWords, task: Task, after_job: Watcher
) -> int:
    name = _config_name(words.config_name, folder)
    _check_readable(folder / f"{name}.yaml")
    # The user's classes are named relative to the folder where the program is run.
    for place in (os.getcwd(), str(folder)):
        if place not in sys.path:
            sys.path.append(place)
    overrides = words.overrides
    if overrides:
        check_words(overrides)
        overrides = complete_keys(
            overrides, folder=folder, name=name, more_groups=words.config_dir
        )
    defaults, options = [f"hydra.job.name={prog.split()[-1]}"], words.options
    if words.is_help:
        # Hydra's help follows the help of this command: the groups and values of the
        # file.
        defaults += ["hydra.help.header=''", "hydra.help.footer=''"]
        options = ["--help"]
    # Hydra accepts overrides only if no option is between them.
    all_words = [prog, *defaults, *overrides, *options]
    n_jobs, status = _run_hydra(all_words, folder, name, task, after_job)
    if words.is_sweep and not n_jobs and not status:
        raise ValueError(
            "the sweep has no runs, since one of the overrides has no value: "
            f"{' '.join(words.overrides)}. The end of a range is not part of it, "
            "and glob(*) matches the files of a config group"
        )
    return status


def _config_name(name: str | None, folder: Path) -> str:
    if not folder.is_dir():
        raise ValueError(f"there is no folder of configurations at {folder}")
    files = sorted(file.stem for file in folder.glob("*.yaml"))
    available = f"{folder} has {', '.join(files) or 'no .yaml file'}."
    if name is None:
        raise ValueError(f"--config-name is needed. {available}")
    stem = name.removesuffix(".yaml")
    if not (folder / f"{stem}.yaml").exists():
        hint = did_you_mean(stem, files)
        raise ValueError(f"no configuration {stem!r}.{hint} {available}")
    return stem


def _check_readable(file: Path) -> None:
    """Raise ValueError for invalid YAML, which Hydra would report by a traceback."""
    from omegaconf import OmegaConf
    from yaml import YAMLError

    if not file.is_file():
        raise ValueError(f"{file} is not a file")
    try:
        OmegaConf.load(file)
    except (YAMLError, OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as YAML: {error}") from error


def _run_hydra(
    argv: Sequence[str], folder: Path, name: str, task: Task, after_job: Watcher
) -> tuple[int, int]:
    """Return the number of jobs, and the status."""
    import hydra

    n_jobs = status = 0
    folders: set[Path] = set()

    def run_task(config: Any) -> None:
        nonlocal n_jobs, status
        n_jobs += 1
        if not _is_new(folders):
            status = 2
            return
        problem = "ended early"
        try:
            problem = _problem_of_task(task, config, folder, name)
        finally:
            _tell(after_job, problem)
        # A failed job makes the whole sweep fail.
        status = max(status, 2 if problem else 0)

    try:
        with _hydra_argv(argv), _own_logging():
            decorate = hydra.main(
                version_base="1.3", config_path=str(folder), config_name=name
            )
            decorate(run_task)()
    except SystemExit as ending:
        return n_jobs, 2 if ending.code else 0
    return n_jobs, status


def _is_new(folders: set[Path]) -> bool:
    """Add the folder of the current job; return whether no other job uses it."""
    from hydra.core.hydra_config import HydraConfig

    folder = Path(HydraConfig.get().runtime.output_dir)
    if folder in folders:
        print_error_text(
            f"{folder} has an earlier run of this sweep, which is kept; this one "
            "was skipped. Set hydra.sweep.subdir to a name that differs between "
            "runs, such as ${hydra.job.num}"
        )
        return False
    folders.add(folder)
    return True


def _tell(after_job: Watcher, problem: str) -> None:
    """Call ``after_job`` for a job of a sweep; its errors do not end other jobs."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    config = HydraConfig.get()
    if config.mode != RunMode.MULTIRUN:
        return
    folder = Path(config.runtime.output_dir)
    sweep = Path(config.runtime.cwd) / config.sweep.dir
    try:
        after_job(Job(sweep, folder, tuple(config.overrides.task), problem))
    except (OSError, ValueError) as error:
        print_error_text(_text(error, folder))


def _problem_of_task(task: Task, config: Any, folder: Path, name: str) -> str:
    """Run the task with a Hydra configuration, and return its error message."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    try:
        for file in composed_files(name):
            check_file(file)
        tree: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        with lightning_output():
            _warn_of_interpolations(tree, "")
            task(tree, Path(HydraConfig.get().runtime.output_dir))
    except KeyboardInterrupt:
        raise
    except SystemExit as ending:
        # Lightning exits the program on Ctrl-C.
        if isinstance(ending.__context__, KeyboardInterrupt):
            raise ending.__context__ from None
        # A status of 0 would report success although the task did not finish.
        print_error_text(f"the model ended the program: {ending!r}")
        return f"the model ended the program: {ending!r}"
    except Exception as error:  # a user's model may raise anything
        print_error_text(_text(error, folder))
        return f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def _hydra_argv(argv: Sequence[str]) -> Generator[None]:
    """Let Hydra, which reads ``sys.argv``, find ``argv`` there."""
    from hydra.core.global_hydra import GlobalHydra

    before = sys.argv
    sys.argv = [*argv]
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        sys.argv = before
        GlobalHydra.instance().clear()


@contextmanager
def _own_logging() -> Generator[None]:
    """Restore the program's logging after the block."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    settings = [(logger, [*logger.handlers], logger.level) for logger in loggers]
    try:
        yield
    finally:
        for logger, handlers, level in settings:
            for handler in [h for h in logger.handlers if h not in handlers]:
                handler.close()
            logger.handlers[:] = handlers
            logger.setLevel(level)


@contextmanager
def _hydra_errors_raised() -> Generator[None]:
    """Let Hydra raise errors instead of printing a traceback of its own."""
    before = os.environ.get(_FULL_ERROR)
    os.environ[_FULL_ERROR] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FULL_ERROR]
        else:
            os.environ[_FULL_ERROR] = before


def _text(error: Exception, folder: Path) -> str:
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    file = _file_of(error, folder)
    if isinstance(error, YAMLError | UnicodeDecodeError) and file:
        return f"{file} cannot be read as YAML: {error}"
    if isinstance(error, OverrideParseException):
        return _text_of_word(error.override)
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = error.__cause__
        is_more = isinstance(cause, OmegaConfBaseException)
        return f"{error}\n{cause}".strip() if is_more else str(error).strip()
    # Python's logging reports that it cannot open a file; the cause says why.
    is_of_logging = str(error).startswith("Unable to configure")
    if is_of_logging and isinstance(error.__cause__, OSError):
        return error_text(error.__cause__)
    return error_text(error)


def _warn_of_interpolations(tree: Any, path: str) -> None:
    """Warn of strings in a resolved tree that Hydra would resolve a second time."""
    if isinstance(tree, str) and "${" in tree:
        warnings.warn(
            f"{path}: {short_repr(tree)} is written unchanged to the run's "
            r"config.yaml, where Hydra would resolve it: write \${ in a copy of it "
            "that starts a run",
            stacklevel=2,
        )
    items: Iterable[tuple[object, object]] = ()
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, item in items:
        _warn_of_interpolations(item, child(path, key))


def _text_of_word(word: str) -> str:
    """Return the message for a word that Hydra's grammar does not accept."""
    key, _, value = word.partition("=")
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return (
        f"Hydra cannot read {word}. Quote a string that has non-ASCII letters, "
        "brackets or quotes, and quote the whole word for the shell: "
        f"\"{key}='{quoted}'\". The grammar of Hydra's overrides: "
        "https://hydra.cc/docs/1.2/advanced/override_grammar/basic"
    )


def _file_of(error: object, folder: Path) -> str:
    """Return the file of a defaults list that Hydra could not read, or None."""
    if not isinstance(error, UnicodeDecodeError):
        mark = getattr(error, "problem_mark", error)
        return str(getattr(mark, "name", ""))
    return next((str(f) for f in sorted(folder.rglob("*.yaml")) if _is_binary(f)), "")


def _is_binary(file: Path) -> bool:
    try:
        file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return True
    except OSError:
        return False
    return False
