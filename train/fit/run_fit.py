"""One run of ``burnish fit``: from a checked configuration to a folder of results."""

import os
import time
from collections.abc import Sized
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer, seed_everything

from ...config.formats import config_format_named
from ...config.storage.replacement import write_text
from ...core.persistence.loading import load_record
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.folders import refuse_obstacle
from ..lightning.data_module import DataModule
from ..lightning.model import Model
from ..lightning.record_checkpoint import RecordCheckpoint
from ..lightning.record_io import MODEL, is_checkpoint
from .fit_config import FitConfig, LoggerHparams
from .history import History
from .html_report import write_report

LAST = "last"


def fit(config: FitConfig, folder: Path) -> Trainer:
    """Train as ``config`` says, and leave in ``folder`` all that there is to know.

    config.yaml, checkpoints, logs and report.html; the report is written too if
    training ends with an error, which is raised again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = config_format_named("yaml").write(config.tree())
    write_text(folder / "config.yaml", text)
    if config.run.seed is not None:
        seed_everything(config.run.seed, verbose=False)
    data = config.data_class(config.data)
    model = config.model_class(_with_folder(config.model, folder))
    history = History()
    trainer = _trainer(config, folder, history)
    resumed = _checkpoint(config.run.resume_from_checkpoint, folder)
    if resumed is not None and is_checkpoint(resumed):
        # Tells what does not fit, by path, before anything is begun.
        load_record(model, Checkpoint.read(resumed)[MODEL])
    started, problem = time.monotonic(), ""
    try:
        trainer.fit(model, datamodule=data, ckpt_path=resumed)
        if data.test is not None and len(data.test):
            trainer.test(model, datamodule=data, verbose=False)
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
        raise
    finally:
        facts = {
            **_model_and_data(model, data, config),
            **_progress(trainer, time.monotonic() - started, resumed),
        }
        write_report(
            folder / "report.html",
            title=f"{type(model).__name__}: {folder.name}",
            curves=history.curves,
            facts=facts,
            config=text,
            problem=problem,
        )
    return trainer


def _trainer(config: FitConfig, folder: Path, history: History) -> Trainer:
    options: dict[str, Any] = config.run.trainer.options()
    return Trainer(
        **options,
        logger=logger_of(config.run.logger, folder),
        callbacks=[history],
        enable_checkpointing=config.model.checkpoint is not None,
        default_root_dir=folder,
    )


def has_trained(trainer: Trainer) -> bool:
    """Return whether a run of `fit` had a batch left to train."""
    callbacks: list[Any] = vars(trainer)["callbacks"]
    histories = (c for c in callbacks if isinstance(c, History))
    return any(history.has_trained for history in histories)


def profile(config: FitConfig, folder: Path) -> Path:
    """Run one training and one validation batch, and return the file with the times."""
    from lightning.pytorch.profilers import SimpleProfiler

    folder.mkdir(parents=True, exist_ok=True)
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
    }
    trainer = Trainer(
        **options, logger=False, enable_checkpointing=False, default_root_dir=folder
    )
    trainer.fit(model, datamodule=data)
    # Lightning puts a word of its own before the name.
    listings = [f for f in folder.iterdir() if f not in before and f.suffix == ".txt"]
    file = folder / "profile.txt"
    listings[0].replace(file)
    return file


def logger_of(logger: LoggerHparams, folder: Path) -> Any:
    """Return Lightning's logger. ImportError with the cure for one not installed."""
    from lightning.pytorch import loggers

    if logger.kind == "none":
        return False
    if logger.save_dir is not None:
        folder = Path(logger.save_dir)
        folder.mkdir(parents=True, exist_ok=True)
    if logger.kind == "csv":
        name = _unused(folder, "logs")
        return loggers.CSVLogger(folder, name=name, version=logger.version or "")
    try:
        if logger.kind == "tensorboard":
            version = logger.version or ""
            return loggers.TensorBoardLogger(folder, name="logs", version=version)
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


def _unused(folder: Path, name: str) -> str:
    """Return ``name``, or ``name-2`` and on: a resumed run keeps its older logs."""
    used_names = {file.name for file in folder.iterdir()}
    names = (name if n == 1 else f"{name}-{n}" for n in range(1, len(used_names) + 2))
    return next(free for free in names if free not in used_names)


def _with_folder(hparams: Any, folder: Path) -> Any:
    """Return the model's hyperparameters, its checkpoints in the run's folder."""
    chosen = hparams.checkpoint
    if chosen is None or chosen.dirpath is not None:
        return hparams
    options = chosen.model_copy(update={"dirpath": str(folder / "checkpoints")})
    return hparams.model_copy(update={"checkpoint": options})


def _checkpoint(place_name: str | None, folder: Path) -> str | None:
    """Return the checkpoint to go on from. FileNotFoundError if there is none."""
    if place_name is None:
        return None
    if place_name == "auto":
        last_checkpoint = folder / "checkpoints" / LAST
        if is_checkpoint(last_checkpoint):
            return str(last_checkpoint)
        _refuse_other(last_checkpoint)
        return None
    for place in (Path(place_name), Path(place_name) / "checkpoints" / LAST):
        if is_checkpoint(place) or place.is_file():
            return str(place)
    raise FileNotFoundError(
        f"run_config.resume_from_checkpoint={place_name}: no checkpoint is there; "
        "give one, or the folder of a run, or auto"
    )


def _refuse_other(place: Path) -> None:
    """Raise FileNotFoundError if something else than a checkpoint stands at ``last``.

    A run whose checkpoints are damaged, or on a disk that is not there, would begin
    anew over them.
    """
    refuse_obstacle(place.parent)
    if os.path.lexists(place):
        raise FileNotFoundError(
            f"run_config.resume_from_checkpoint=auto: {place} is no checkpoint; "
            "copy it again, or remove it to begin anew"
        )


def _model_and_data(
    model: Model[Any], data: DataModule[Any], config: FitConfig
) -> dict[str, object]:
    """Return what the report says of the objects of a run."""
    return {
        "model": config.model.module_name,
        "parameters": f"{model.num_params:,}",
        "data": f"{_size(data.train)} training, {_size(data.val)} validation",
    }


def _size(part: object) -> str:
    """Return how many samples there are, of a stream that nobody knows."""
    if part is None:
        return "no"
    return f"{len(part):,}" if isinstance(part, Sized) else "a stream of"


def _progress(
    trainer: Trainer, seconds: float, resumed: str | None
) -> dict[str, object]:
    """Return what the report says of how far a run came."""
    return {
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "time": f"{seconds:.1f} s",
        "resumed from": resumed or "nothing",
        **_checkpoint_facts(trainer),
        **_test_facts(trainer),
    }


def _checkpoint_facts(trainer: Trainer) -> dict[str, str]:
    callback = trainer.checkpoint_callback
    if not isinstance(callback, RecordCheckpoint) or not callback.best_model_path:
        return {}
    score = callback.best_model_score
    best = Path(callback.best_model_path).name
    value = f" ({callback.monitor} {float(score):.6g})" if score is not None else ""
    return {"best checkpoint": f"{best}{value}"}


def _test_facts(trainer: Trainer) -> dict[str, str]:
    return {
        name: f"{float(value):.6g}"
        for name, value in trainer.callback_metrics.items()
        if name.startswith("test/")
    }
