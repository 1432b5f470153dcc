"""One run of ``burnish fit``: from a validated configuration to a folder of results."""

import errno
import sys
import time
from collections.abc import Callable, Sized
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, seed_everything

from ...config.errors import ConfigError, Problem
from ...config.process.interrupts import raise_of_signal
from ...config.process.log import LOG
from ...core.persistence.loading import load_record
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.folders import make_run_folder
from ..checkpoints.rereading import reread_if_replaced
from ..lightning.checkpoint_folder import MODEL, is_checkpoint
from ..lightning.data_module import DataModule
from ..lightning.model import Model
from .beginning import FitBeginning
from .fit_config import RUN, FitConfig, LoggerHparams, file_tree
from .history import History
from .html_report import HtmlReport
from .live_run import LiveRun
from .processes import all_processes, start_others_by
from .sent_run import SentRun, is_first_process
from .summary import NAME as SUMMARY
from .summary import write_summary

REPORT = "report.html"
"""The page of a run, in its folder."""


def fit(config: FitConfig, folder: Path) -> Trainer:
    """Train by ``config``, and leave all results in ``folder``.

    They are config.yaml, which may be edited during the run, checkpoints, logs and
    report.html; the report is written too if training ends with an error, which is
    raised again. Of several processes the first one starts the others, and writes all
    files.
    """
    make_run_folder(folder)
    refuse_folders_at(folder / REPORT, folder / SUMMARY)
    beginning = FitBeginning.of(config, folder, writes=is_first_process())
    resumed = beginning.checkpoint
    if config.run.seed is not None:
        seed_everything(config.run.seed, verbose=False)
    data = config.data_class(config.data)
    model = config.model_class(_with_folder(config.model, folder))
    history, live = History(), LiveRun(beginning, data, model.on_edit)
    started, problem = time.monotonic(), ""

    def facts(trainer: Trainer) -> dict[str, object]:
        seconds = time.monotonic() - started
        return {
            **_model_and_data(model, data, config),
            **_progress(trainer, seconds, resumed),
        }

    title = f"{type(model).__name__}: {folder.name}"
    report = HtmlReport(folder / REPORT, title, history, live, facts)
    trainer = _trainer(config, beginning, [history, live, report])
    if resumed is not None and is_checkpoint(resumed):
        # Loading reports what does not fit by its path, before training begins.
        reread_if_replaced(
            Path(resumed), lambda: load_record(model, Checkpoint.read(resumed)[MODEL])
        )
    try:
        with all_processes(trainer):
            trainer.fit(model, datamodule=data, ckpt_path=resumed)
            if data.test is not None and len(data.test):
                trainer.test(model, datamodule=data, verbose=False)
    except BaseException as error:
        problem = _problem_of(error)
        raise
    finally:
        close_logger(config.run.logger)
        if is_first_process():
            seconds = round(time.monotonic() - started, 3)
            _write_results(trainer, report, history, model.num_params, seconds, problem)
    return trainer


def _problem_of(error: BaseException) -> str:
    """Return the report's text on how a run ended; Lightning ends it on Ctrl-C."""
    interrupts = error, error.__context__
    if any(isinstance(reason, KeyboardInterrupt) for reason in interrupts):
        return "ended by Ctrl-C"
    return f"{type(error).__name__}: {error}"


def _write_results(
    trainer: Trainer,
    report: HtmlReport,
    history: History,
    n_params: int,
    seconds: float,
    problem: str,
) -> None:
    """Write report.html and summary.json, each even if the other fails.

    Raises OSError for one that cannot be written; for a failed run it only warns.
    """
    facts = {
        "parameters": n_params,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seconds": seconds,
    }
    writes: tuple[Callable[[], None], ...] = (
        lambda: report.write(trainer, problem),
        lambda: write_summary(
            Path(trainer.default_root_dir),
            curves=history.curves,
            facts=facts,
            results=_test_results(trainer),
            problem=problem,
        ),
    )
    first_error: OSError | None = None
    for write in writes:
        try:
            write()
        except OSError as error:
            raise_of_signal(error)
            LOG.warning("not written: %s", error)
            first_error = first_error or error
    if first_error is not None and not problem:
        raise first_error


def refuse_folders_at(*files: Path) -> None:
    """Raise IsADirectoryError if a folder has the name of a run's file.

    Otherwise the error would come only at the end of the run.
    """
    for file in files:
        if file.is_dir():
            words = "a folder is in the way; remove it or write elsewhere"
            raise IsADirectoryError(errno.EISDIR, words, str(file))


def _trainer(
    config: FitConfig, beginning: FitBeginning, callbacks: list[Callback]
) -> Trainer:
    folder = beginning.folder
    trainer = new_trainer(
        beginning.trainer_options(),
        logger=logger_of(config.run.logger, folder),
        callbacks=callbacks,
        enable_checkpointing=config.model.checkpoint is not None,
        default_root_dir=folder,
    )
    tree = file_tree(beginning.composed)
    run = SentRun(tree=tree, folder=str(folder), import_path=[*sys.path])
    start_others_by(trainer, run)
    return trainer


def new_trainer(options: dict[str, Any], **others: Any) -> Trainer:
    """Return a Trainer; ConfigError, naming the key, for what it refuses."""
    try:
        return Trainer(**options, **others)
    except (MisconfigurationException, TypeError, ValueError) as error:
        text = str(error).partition("\n")[0]
        places = {name: text.lower().find(name) for name in options}
        keys = [name for name in options if places[name] >= 0]
        # Lightning's message starts with the refused option, and continues with the
        # reason.
        key = f".{min(keys, key=places.__getitem__)}" if keys else ""
        value = f"{options[key[1:]]!r:.80}: " if key else ""
        problem = Problem(f"{RUN}.trainer{key}", f"{value}{text:.200}")
        raise ConfigError("", [problem]) from error


def has_trained(trainer: Trainer) -> bool:
    """Return whether a run of `fit` had a batch left to train."""
    callbacks: list[Any] = vars(trainer)["callbacks"]
    histories = (c for c in callbacks if isinstance(c, History))
    return any(history.has_trained for history in histories)


def profile(config: FitConfig, folder: Path) -> Path:
    """Run one training and one validation batch, and return the file with the times.

    On one device, regardless of the run's devices.
    """
    from lightning.pytorch.profilers import SimpleProfiler

    make_run_folder(folder)
    before = {*folder.iterdir()}
    data = config.data_class(config.data)
    model = config.model_class(config.model.model_copy(update={"checkpoint": None}))
    options: dict[str, Any] = {
        **config.run.trainer.options(),
        "max_epochs": 1,
        "limit_train_batches": 1,
        "limit_val_batches": 1,
        "enable_progress_bar": False,
        "profiler": SimpleProfiler(dirpath=folder, filename="profile"),
        **_one_device(config.run.trainer.devices),
    }
    trainer = new_trainer(
        options, logger=False, enable_checkpointing=False, default_root_dir=folder
    )
    trainer.fit(model, datamodule=data)
    # Lightning puts a word of its own before the name.
    listings = [f for f in folder.iterdir() if f not in before and f.suffix == ".txt"]
    file = folder / "profile.txt"
    listings[0].replace(file)
    return file


def _one_device(devices: int | list[int] | str) -> dict[str, Any]:
    """Return the options of a Trainer on the first of ``devices``, in one process."""
    one_device = devices[:1] if isinstance(devices, list) else 1
    return {"devices": one_device, "num_nodes": 1, "strategy": "auto"}


def logger_of(logger: LoggerHparams, folder: Path) -> Any:
    """Return Lightning's logger. ImportError with the remedy if it is not installed."""
    from lightning.pytorch import loggers

    if logger.kind == "none":
        return False
    if logger.save_dir is not None:
        folder = Path(logger.save_dir)
        make_run_folder(folder)
    if logger.kind == "csv":
        name = _unused(folder, "logs")
        return loggers.CSVLogger(folder, name=name, version=logger.version or "")
    if logger.log_model and logger.offline:
        raise ValueError(
            f"run_config.logger.log_model={logger.log_model} sends checkpoints to "
            "Weights & Biases, which needs run_config.logger.offline=false"
        )
    try:
        if logger.kind == "tensorboard":
            from .tensorboard_logger import EventFilesLogger

            return EventFilesLogger(folder, name="logs", version=logger.version or "")
        return loggers.WandbLogger(
            name=logger.name or None,
            save_dir=folder,
            version=logger.version,
            offline=logger.offline,
            project=logger.project or "burnish",
            log_model=logger.log_model,
            anonymous=logger.anonymous,
        )
    except (ImportError, ModuleNotFoundError) as missing:
        extra = "'burnish[wandb]'" if logger.kind == "wandb" else "tensorboard"
        raise ImportError(
            f"run_config.logger.kind={logger.kind} needs: pip install {extra}"
        ) from missing


def close_logger(logger: LoggerHparams) -> None:
    """End loggers that outlive a run: another one in this process would use them."""
    if logger.kind == "wandb":
        # Type checkers do not see it where it is not installed.
        import_module("wandb").finish()


def _unused(folder: Path, name: str) -> str:
    """Return ``name``, or ``name-2`` and so on: a resumed run keeps older logs."""
    used_names = {file.name for file in folder.iterdir()}
    names = (name if n == 1 else f"{name}-{n}" for n in range(1, len(used_names) + 2))
    return next(free for free in names if free not in used_names)


def _with_folder(hparams: Any, folder: Path) -> Any:
    """Return the model's hyperparameters, with checkpoints in the run's folder."""
    chosen = hparams.checkpoint
    if chosen is None or chosen.dirpath is not None:
        return hparams
    options = chosen.model_copy(update={"dirpath": str(folder / "checkpoints")})
    return hparams.model_copy(update={"checkpoint": options})


def _model_and_data(
    model: Model[Any], data: DataModule[Any], config: FitConfig
) -> dict[str, object]:
    """Return the report's lines about the objects of a run."""
    return {
        "model": config.model.module_name,
        "parameters": f"{model.num_params:,}",
        "data": f"{_size(data.train)} training, {_size(data.val)} validation",
    }


def _size(part: object) -> str:
    """Return the number of samples, as a string; unknown for a stream."""
    if part is None:
        return "no"
    return f"{len(part):,}" if isinstance(part, Sized) else "a stream of"


def _progress(
    trainer: Trainer, seconds: float, resumed: str | None
) -> dict[str, object]:
    """Return the report's text on how far a run came."""
    return {
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "time": f"{seconds:.1f} s",
        "resumed from": resumed or "nothing",
        **_test_facts(trainer),
    }


def _test_facts(trainer: Trainer) -> dict[str, str]:
    return {name: f"{value:.6g}" for name, value in _test_results(trainer).items()}


def _test_results(trainer: Trainer) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("test/")
    }
