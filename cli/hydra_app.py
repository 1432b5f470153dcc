"""A program on Hydra: its file, its overrides, its run folder; errors for people."""

import logging
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ..config.process.user_traceback import error_text
from ..config.spelling import did_you_mean
from .termination import STATUS, Terminated, raised_termination

Task = Callable[[dict[str, Any], Path], None]
"""Called with the composed configuration, resolved, and the folder of the run."""

FOLDER_VARIABLE = "HYDRA_CONFIG_PATH"
_FULL_ERROR = "HYDRA_FULL_ERROR"

_SECTIONS = ("model_config", "data_config", "data_config.loader", "run_config")
_PLACES = (*_SECTIONS, "run_config.trainer", "run_config.logger")
_LOGGERS = (None, "lightning", "lightning.pytorch", "lightning.fabric")
_SHORT = {"model": ("model_config",), "data": ("data_config", "data_config.loader")}


def run_on_hydra(prog: str, about: str, argv: Sequence[str], task: Task) -> int:
    """Compose what ``argv`` asks for, run ``task`` with it, and return the status.

    Words are Hydra's: ``--config-name X a.b=v +new=v``. Keys may leave out the section
    that they are in: ``optimizer.kwargs.lr=0.1`` is
    ``model_config.optimizer.kwargs.lr=0.1``.
    """
    try:
        import_module("hydra")
    except ImportError:
        print(
            f"error: {prog} needs hydra: pip install 'burnish[train]'", file=sys.stderr
        )
        return 2
    options, words = _parser(prog, about).parse_known_args([*argv])
    # Unlike Path.resolve, it takes links to themselves for what is not there.
    where = options.config_path or os.environ.get(FOLDER_VARIABLE) or "."
    folder = Path(os.path.realpath(where))
    try:
        _check_dashes(words)
        name = _config_name(options.config_name, folder)
        _check_readable(folder / f"{name}.yaml")
        # Classes of the user's are named relative to where the program is run.
        for place in (os.getcwd(), str(folder)):
            if place not in sys.path:
                sys.path.append(place)
        with _hydra_errors_raised(), raised_termination():
            words = _complete_keys(folder, name, words)
            return _run_hydra(prog, folder, name, words, task)
    except Terminated as ending:
        print(f"error: {prog} was {ending}", file=sys.stderr)
        return STATUS
    except Exception as error:  # Hydra's, and of whatever it was given
        print(f"error: {_text(error, folder)}", file=sys.stderr)
        return 2


def _parser(prog: str, about: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=prog,
        description=about,
        epilog=(
            f"The file is looked for in --config-path, or {FOLDER_VARIABLE}, or here. "
            "Keys may leave out their section: optimizer.kwargs.lr=0.0005 "
            "data.batch_size=64 max_epochs=3; +key=value adds one. Other words are "
            "Hydra's, such as --multirun and hydra.run.dir=FOLDER."
        ),
        usage="%(prog)s --config-name NAME [--config-path FOLDER] [key=value ...]",
        allow_abbrev=False,
    )
    parser.add_argument("--config-name", "-cn", help="the file, without .yaml")
    parser.add_argument("--config-path", "-cp", help="the folder of the file")
    return parser


def _check_dashes(words: Sequence[str]) -> None:
    """Raise ValueError for a key with dashes, at which Hydra shows usage of its own."""
    from hydra._internal.utils import get_args_parser

    # The words that Hydra knows are told by nothing public.
    options = get_args_parser()._option_string_actions
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and word.startswith("--") and name not in options:
            key = word.lstrip("-")
            raise ValueError(f"unknown option {name}; a key has no dashes: {key}")


def _config_name(name: str | None, folder: Path) -> str:
    files = sorted(file.stem for file in folder.glob("*.yaml"))
    available = f"In {folder} there are: {', '.join(files) or 'none'}."
    if name is None:
        raise ValueError(f"--config-name is needed. {available}")
    stem = name.removesuffix(".yaml")
    if not (folder / f"{stem}.yaml").exists():
        hint = did_you_mean(stem, files)
        raise ValueError(f"no configuration {stem!r}.{hint} {available}")
    return stem


def _check_readable(file: Path) -> None:
    """Raise ValueError for what is no YAML, which Hydra would tell as a traceback."""
    from omegaconf import OmegaConf
    from yaml import YAMLError

    if not file.is_file():
        raise ValueError(f"{file} is not a file")
    try:
        OmegaConf.load(file)
    except (YAMLError, OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as YAML: {error}") from error


def _complete_keys(folder: Path, name: str, words: Sequence[str]) -> list[str]:
    """Return ``words`` with the full keys of those that leave out their section."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    keys = [w for w in words if "=" in w and w[0] not in "+~-"]
    if not keys:
        return [*words]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder), version_base="1.3"):
        config = compose(name, return_hydra_config=True)
    tree: Any = OmegaConf.to_container(config, resolve=False)
    return [_complete(word, tree) if word in keys else word for word in words]


def _complete(word: str, tree: dict[str, Any]) -> str:
    from ..train.fit.fit_config import known_names, known_path

    key, _, value = word.partition("=")
    head, _, tail = key.partition(".")
    candidates = [key, *(f"{place}.{key}" for place in _PLACES)]
    candidates += [f"{place}.{tail}" for place in _SHORT.get(head, ()) if tail]
    for candidate in candidates:
        if _is_in(tree, candidate):
            return f"{candidate}={value}"
    for candidate in candidates:
        if known_path(tree, candidate) is not False:
            return f"++{candidate}={value}"
    if head == "hydra":
        return word
    names = known_names(tree)
    shorter = {name.partition(".")[2]: name for name in names}
    hint = did_you_mean(key, [*names, *shorter])
    raise ValueError(
        f"unknown key {key!r}.{hint} +{word} adds a key of your own, and "
        "--help tells how keys are written"
    )


def _is_setting(word: str) -> bool:
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def _is_in(tree: object, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def _run_hydra(
    prog: str, folder: Path, name: str, words: Sequence[str], task: Task
) -> int:
    import hydra

    status = 0

    def run_task(config: Any) -> None:
        nonlocal status
        # One job of a sweep that failed is a failure of the sweep.
        status = max(status, _status_of_task(task, config, folder))

    try:
        with _hydra_argv(prog, words), _own_logging():
            decorate = hydra.main(
                version_base="1.3", config_path=str(folder), config_name=name
            )
            decorate(run_task)()
    except SystemExit as ending:
        return 2 if ending.code else 0
    return status


def _status_of_task(task: Task, config: Any, folder: Path) -> int:
    """Run the task with a configuration of Hydra, and return the program's status."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    try:
        tree: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        _silence_lightning()
        task(tree, Path(HydraConfig.get().runtime.output_dir))
    except KeyboardInterrupt:
        raise
    except SystemExit as ending:
        # Lightning ends the program at Ctrl-C.
        if isinstance(ending.__context__, KeyboardInterrupt):
            raise ending.__context__ from None
        # A status of 0 would tell that all was done, and the task is not.
        print(f"error: the model ended the program: {ending!r}", file=sys.stderr)
        return 2
    except Exception as error:  # a user's model may raise anything
        print(f"error: {_text(error, folder)}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def _hydra_argv(prog: str, words: Sequence[str]) -> Generator[None]:
    """Let Hydra, which reads the program's arguments, find ``words`` there."""
    from hydra.core.global_hydra import GlobalHydra

    before = sys.argv
    # Hydra takes words that set something side by side only.
    settings = [word for word in words if _is_setting(word)]
    options = [word for word in words if not _is_setting(word)]
    job = f"hydra.job.name={prog.split()[-1]}"
    sys.argv = [prog, *options, job, *settings]
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        sys.argv = before
        GlobalHydra.instance().clear()


@contextmanager
def _own_logging() -> Generator[None]:
    """Leave the program's logging after the block as it was before."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    settings = [(logger, [*logger.handlers], logger.level) for logger in loggers]
    try:
        yield
    finally:
        for logger, handlers, level in settings:
            for handler in [h for h in logger.handlers if h not in handlers]:
                handler.close()
            logger.handlers[:] = handlers
            logger.setLevel(level)


def _silence_lightning() -> None:
    """Take away Lightning's own output: Hydra prints what it says."""
    import_module("lightning.pytorch")
    for name in _LOGGERS[1:]:
        logging.getLogger(name).handlers.clear()


@contextmanager
def _hydra_errors_raised() -> Generator[None]:
    """Let Hydra raise what goes wrong, and not print a traceback of its own."""
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
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    file = _file_of(error, folder)
    if isinstance(error, YAMLError | UnicodeDecodeError) and file:
        return f"{file} cannot be read as YAML: {error}"
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = error.__cause__
        is_more = isinstance(cause, OmegaConfBaseException)
        return f"{error}\n{cause}".strip() if is_more else str(error).strip()
    return error_text(error)


def _file_of(error: object, folder: Path) -> str:
    """Return the file of a defaults list that Hydra could not read, if any is."""
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
