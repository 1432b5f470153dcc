"""RecordCheckpoint: Lightning's ModelCheckpoint, writing records."""

import re
from contextlib import nullcontext
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from ...config.short_text import with_article
from ...config.spelling import did_you_mean
from ...core.hyperparameters.record_metadata import recorded_hparams
from ...core.persistence.meaning import check_meaning
from ...optim.adaptor import OptimizerAdaptor
from ...optim.lbfgs import LBFGSAdaptor
from ...records.background_saves import STAGING, SnapshotKind, SnapshotOptions
from ...records.errors import RecordMismatchError
from ...records.processes.messages import n_processes
from ..checkpoints.choice import WHOLE, Choice, PatternsOfParts
from ..checkpoints.linked_parts import LinkedParts, Unchanged
from ..checkpoints.param_names import in_order_of_params, names_of_params
from ..checkpoints.process_generators import gathered_generators, state_of_process
from ..checkpoints.rng import Generators
from ..plain_records import record_of
from ..resumable_loader import ResumableLoader
from .accumulated_gradients import AccumulatedGradients, is_accumulating
from .averaged_weights import resume_averaging
from .checkpoint_folder import MODEL, STORED
from .chosen_weights import left_out_of
from .early_stops import EarlyStops
from .plateau_steps import PlateauSteps
from .record_io import SUFFIX, ReadingIO, RecordIO
from .shared_strategy import let_write_records
from .trainer_metrics import TrainerMetrics
from .unfinished_batch import (
    UnfinishedBatch,
    go_back_into_epoch,
    go_back_to_batch,
    is_epoch_cut,
    is_epoch_done,
    is_in_batch,
    unfinished_batch,
)

_GENERATORS, _EPOCH_ENDED = "random_generators", "burnish_epoch_ended"
_PARAM_NAMES, _PLATEAUS = "burnish_param_names", "burnish_plateau_steps"
_METRICS, _UNFINISHED = "burnish_metrics", "burnish_unfinished_batch"
_EARLY_STOPS, _GRADIENTS = "burnish_early_stops", "burnish_accumulated_gradients"
_SAVED_STEP, _IS_DEFERRED = "burnish_saved_step", "burnish_is_deferred"

_DEFERRED = "_defer_save_until_validation"
"""Lightning's mark of a save that waits for a metric; absent in older versions."""

_CURE_OF_ORDER = (
    "Nothing was trained. configure_optimizers must return the groups of parameters "
    "that were saved"
)

_OTHER_NUMBER = (
    "the checkpoint has the random generators of a different number of "
    "processes: the run will draw different random numbers (dropout, "
    "shuffling) than an uninterrupted one"
)


class RecordCheckpoint(ModelCheckpoint):
    """Saves checkpoints as `RecordIO` does, with the arguments of ``ModelCheckpoint``.

    Without ``filename`` the best are named after epoch and monitored value. It makes
    the trainer read and write records, so that resuming needs nothing else. With
    ``wait=False`` training continues while a copy is written, and with
    ``snapshot="lazy"`` even before it is copied; with ``unchanged="link"`` unchanged
    parts are not written again, see `RecordIO`.

    ``only`` and ``exclude`` are patterns of the module's paths to save, as in
    `burnish.save_record`; each callback has its own, and ``trainer.save_checkpoint``
    saves all. A resumed run fills what was saved, leaves the rest of the module as it
    is, and warns about it.
    """

    FILE_EXTENSION = ""

    def __init__(
        self,
        dirpath: Any = None,
        filename: str | None = None,
        monitor: str | None = None,
        *,
        only: PatternsOfParts | None = None,
        exclude: PatternsOfParts | None = None,
        unchanged: Unchanged = "write",
        wait: bool = True,
        snapshot: SnapshotKind = "copy",
        staging: int = STAGING,
        **options: Any,
    ) -> None:
        if filename is None and monitor is not None:
            name = monitor.replace("/", "_")
            filename = f"epoch={{epoch}}-{name}={{{monitor}:.4f}}"
            options["auto_insert_metric_name"] = False
        super().__init__(dirpath, filename, monitor, **options)
        self._choice = Choice(only, exclude)
        self._choice.check([MODEL])
        SnapshotOptions.checked(snapshot, staging, wait=wait)
        LinkedParts.checked(unchanged, SUFFIX)
        self._io_options: dict[str, Any] = {
            "unchanged": unchanged,
            "wait": wait,
            "snapshot": snapshot,
            "staging": staging,
        }
        self._generators: dict[str, Any] | None = None
        self._epoch_ended = False
        self._loaders: list[dict[str, Any]] = []
        self._loaded: dict[str, Any] = {}
        self._metrics = TrainerMetrics()
        self._plateau_steps = PlateauSteps(self._metrics)
        self._unfinished = UnfinishedBatch()
        self._early_stops = EarlyStops()
        self._gradients = AccumulatedGradients()
        self._state_of_save: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the trainer read and write records, then do as ``ModelCheckpoint``."""
        strategy: Any = trainer.strategy
        _refuse_own_format(strategy)
        let_write_records(strategy)
        self._check_others(trainer)
        # The user chose another plugin on purpose.
        if type(strategy.checkpoint_io) in (TorchCheckpointIO, ReadingIO):
            strategy.checkpoint_io = RecordIO(**self._io_options)
        if isinstance(strategy.checkpoint_io, RecordIO):
            strategy.checkpoint_io.module = pl_module
        elif self._choice != WHOLE:
            raise ValueError(
                "only= and exclude= choose what is in a record, but the trainer "
                "writes with "
                f"{with_article(type(strategy.checkpoint_io).__name__)}; remove "
                "that plugin"
            )
        super().setup(trainer, pl_module, stage)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the random generators of all processes, for a resumed run."""
        if self is not _first_of(trainer):
            return  # what is kept here is kept once
        # All processes save together, unless one of them has failed.
        if n_processes() == 1 or not trainer.interrupted:
            checkpoint[_GENERATORS] = gathered_generators()
            checkpoint[_METRICS] = self._metrics.to_store(trainer)
            checkpoint[_PLATEAUS] = self._plateau_steps.to_store(trainer)
            checkpoint[_GRADIENTS] = self._gradients.to_store(trainer)
        hparams = recorded_hparams(pl_module)
        if hparams is not None:
            checkpoint[STORED] = hparams
        checkpoint[_PARAM_NAMES] = [
            names_of_params(optimizer, {"": pl_module})
            for optimizer in trainer.optimizers
        ]
        checkpoint[_EPOCH_ENDED] = is_epoch_done(trainer)
        if checkpoint[_EPOCH_ENDED]:
            _end_epochs(checkpoint)
        elif is_in_batch(trainer):
            go_back_to_batch(checkpoint)
            _give_batch_again(trainer, checkpoint)
        elif is_epoch_cut(trainer):
            go_back_into_epoch(checkpoint)
        checkpoint[_UNFINISHED] = unfinished_batch(
            trainer, validates=self._plateau_steps.is_validation_to_come(trainer)
        )
        checkpoint[_EARLY_STOPS] = self._early_stops.to_store(trainer)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the generators' state, to be restored when training begins.

        Raises `RecordMismatchError` if another module is trained than was saved.
        """
        if STORED in checkpoint:
            check_meaning(pl_module, checkpoint[STORED], str(self.dirpath))
        if self is not _first_of(trainer):
            return
        self._generators = None
        self._epoch_ended = bool(checkpoint.get(_EPOCH_ENDED))
        if checkpoint.get(_GENERATORS) is not None:
            try:
                states = checkpoint[_GENERATORS]
                self._generators = state_of_process(states, str(self.dirpath))
            except RecordMismatchError:
                rank_zero_warn(_OTHER_NUMBER)
        self._loaders = _loader_states(checkpoint)
        self._metrics.load(checkpoint.get(_METRICS))
        self._plateau_steps.load(checkpoint.get(_PLATEAUS))
        self._unfinished.load(checkpoint.get(_UNFINISHED), checkpoint)
        self._early_stops.load(trainer, checkpoint, checkpoint.get(_EARLY_STOPS))
        self._gradients.load(checkpoint.get(_GRADIENTS))
        self._loaded = checkpoint

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reorder states of torch's optimizers by the current order of the parameters.

        The optimizers exist, and are not yet filled from the checkpoint. Raises
        `RecordMismatchError` where a state would be assigned to another parameter.
        """
        super().on_fit_start(trainer, pl_module)
        checkpoint, self._loaded = self._loaded, {}
        states: Any = checkpoint.get("optimizer_states")
        descriptions: Any = checkpoint.get(_PARAM_NAMES)
        optimizers = trainer.optimizers
        lengths = {len(of or ()) for of in (states, descriptions, optimizers)}
        if states and len(lengths) == 1:
            folder = str(self.dirpath)
            checkpoint["optimizer_states"] = [
                _in_order(optimizer, pl_module, description, state, folder)
                for optimizer, description, state in zip(
                    optimizers, descriptions, states, strict=True
                )
            ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the generators, then do as ``ModelCheckpoint``."""
        super().on_train_start(trainer, pl_module)
        self._loaded = {}  # which a strategy reads once the optimizers exist
        # Otherwise the first save, after an epoch, would report these mistakes.
        left_out_of(pl_module, self._choice)
        _check_hparams(trainer)
        self._early_stops.training_begins(trainer)
        if self._generators is not None:
            Generators().load_state_dict(self._generators)
        self._load_loaders(trainer)
        if self is _first_of(trainer):
            self._unfinished.begin_epoch(trainer)
            self._gradients.training_begins(trainer)
            resume_averaging(trainer)
        is_begun = self._epoch_ended and not trainer.fit_loop.restarting
        if self._generators is not None and is_begun:
            # Lightning began the epoch, which draws its order, before this hook.
            iter(vars(trainer.fit_loop).get("_data_fetcher") or ())
        self._generators = None
        self._unfinished.training_begins(trainer)
        self._metrics.training_begins(trainer)
        self._plateau_steps.training_begins(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do as ``ModelCheckpoint``, with current metrics."""
        self._metrics.validation_ends(trainer)
        self._plateau_steps.validation_ends(trainer)
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do as ``ModelCheckpoint``; Lightning may omit schedulers' steps next."""
        if self is _first_of(trainer):
            self._metrics.epoch_ends(trainer)
            self._plateau_steps.epoch_ends(trainer)
        super().on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> None:
        """Make the schedulers' steps that Lightning omitted."""
        super().on_train_epoch_start(trainer, pl_module)
        self._plateau_steps.make(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Make the schedulers' steps that Lightning omitted."""
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._metrics.batch_begins()
        self._plateau_steps.make(trainer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Do as ``ModelCheckpoint``; metrics of an epoch are of all its batches."""
        self._metrics.batch_ends(trainer)
        # A save after steps or time waits for the optimizer step, so no gradients need
        # storing.
        if not is_accumulating(trainer):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish a run that had nothing left to train."""
        super().on_fit_end(trainer, pl_module)
        self._plateau_steps.run_ends(trainer)
        self._early_stops.run_ends(trainer)
        if self._generators is not None:
            # What follows, such as a test, draws as after an uninterrupted run.
            Generators().load_state_dict(self._generators)
            self._generators = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do as ``ModelCheckpoint`` after the last steps of schedulers."""
        self._plateau_steps.make(trainer)
        super().on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of ``ModelCheckpoint``, and the step that it saved last.

        Without that step a resumed run would save it again, with a later batch.
        """
        own_state = {
            _SAVED_STEP: self._last_global_step_saved,
            _IS_DEFERRED: bool(vars(self).get(_DEFERRED)),
        }
        return {**super().state_dict(), **own_state, **self._state_of_save}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, as far as a checkpoint has it."""
        super().load_state_dict(state_dict)
        if _SAVED_STEP in state_dict:
            self._last_global_step_saved = state_dict[_SAVED_STEP]
            vars(self)[_DEFERRED] = state_dict[_IS_DEFERRED]

    def file_exists(self, filepath: Any, trainer: Trainer) -> bool:
        """Return whether a checkpoint has this name, or is being saved under it."""
        writer: Any = trainer.strategy.checkpoint_io
        is_begun = isinstance(writer, RecordIO) and writer.is_saving(filepath)
        return super().file_exists(filepath, trainer) or is_begun

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        writer: Any = trainer.strategy.checkpoint_io
        is_ours = isinstance(writer, RecordIO)
        self._state_of_save = {_SAVED_STEP: trainer.global_step}
        if self.save_last and not self.last_model_path:
            self._state_of_save["last_model_path"] = self._name_of_last(trainer)
        try:
            with writer.choosing(self._choice) if is_ours else nullcontext():
                super()._save_checkpoint(trainer, filepath)
        finally:
            self._state_of_save = {}

    def _name_of_last(self, trainer: Trainer) -> str:
        """Return the name that the first last checkpoint is about to get.

        Lightning sets it after the save that it belongs to: a run resumed from that
        checkpoint would attribute it to another run, and keep its own last checkpoint
        beside the old one.
        """
        metrics = self._monitor_candidates(trainer)
        name = self.format_checkpoint_name(metrics, self.CHECKPOINT_NAME_LAST)
        version = self.STARTING_VERSION
        while self._enable_version_counter and self.file_exists(name, trainer):
            name = self.format_checkpoint_name(
                metrics, self.CHECKPOINT_NAME_LAST, ver=version
            )
            version += 1
        return name

    @staticmethod
    def _link_checkpoint(trainer: Trainer, filepath: str, linkpath: str) -> None:
        # The link replaces an older checkpoint; its target exists.
        writer: Any = trainer.strategy.checkpoint_io
        if isinstance(writer, RecordIO):
            writer.finish()
        ModelCheckpoint._link_checkpoint(trainer, filepath, linkpath)

    def _format_checkpoint_name(
        self,
        filename: str | None,
        metrics: dict[str, Tensor],
        prefix: str | None = None,
        auto_insert_metric_name: bool = True,
    ) -> str:
        self._check_names(filename or "", metrics)
        name = super()._format_checkpoint_name(
            filename, metrics, prefix, auto_insert_metric_name
        )
        # A slash in a metric's name would create a folder.
        return name if auto_insert_metric_name is False else name.replace("/", "_")

    def _check_others(self, trainer: Trainer) -> None:
        """Raise ValueError if another callback's options cannot be combined."""
        for callback in trainer.checkpoint_callbacks:
            if not isinstance(callback, RecordCheckpoint):
                continue
            for name, value in self._io_options.items():
                if callback._io_options[name] != value:
                    raise ValueError(
                        "two RecordCheckpoints of a trainer have "
                        f"{name}={value!r} and "
                        f"{name}={callback._io_options[name]!r}; one writer "
                        f"saves for both, so pass them the same {name}"
                    )

    def _load_loaders(self, trainer: Trainer) -> None:
        """Restore the loaders' positions; Lightning does so only in mid-epoch."""
        loaders = _loaders_of(trainer)
        if len(loaders) == len(self._loaders):
            for loader, state in zip(loaders, self._loaders, strict=True):
                loader.load_state_dict(state)
        self._loaders = []

    def _check_names(self, filename: str, metrics: dict[str, Tensor]) -> None:
        """Warn of a metric in the name that was not logged: it would read as 0."""
        for name in re.findall(r"\{([^:}]+)", filename):
            if name not in metrics:
                logged_names = ", ".join(sorted(metrics))
                rank_zero_warn(
                    f"the checkpoint's name has {name!r}, which was not logged and "
                    f"will read as 0; logged are {logged_names}."
                    f"{did_you_mean(name, metrics)}"
                )


def _in_order(
    optimizer: Optimizer,
    module: LightningModule,
    description: dict[str, Any],
    state: dict[str, Any],
    folder: str,
) -> dict[str, Any]:
    if isinstance(optimizer, OptimizerAdaptor | LBFGSAdaptor):
        return state  # which has names of its own
    return in_order_of_params(
        optimizer, {"": module}, description, state, folder, _CURE_OF_ORDER
    )


def _first_of(trainer: Trainer) -> RecordCheckpoint | None:
    """Return the one callback that does what several must do only once."""
    ours = (c for c in trainer.checkpoint_callbacks if isinstance(c, RecordCheckpoint))
    return next(ours, None)


def _check_hparams(trainer: Trainer) -> None:
    """Raise TypeError for hyperparameters that no record can hold.

    A module with a hook of its own may have different ones when they are saved.
    """
    datamodule: Any = vars(trainer).get("datamodule")
    for owner in (trainer.lightning_module, datamodule):
        hook = getattr(owner, "on_save_checkpoint", None)
        has_hook = getattr(hook, "__func__", hook) not in _HOOKS_OF_LIGHTNING
        hparams: Any = None if has_hook else getattr(owner, "hparams", None)
        # A config of OmegaConf may contain values that only a save resolves.
        for name, value in hparams.items() if isinstance(hparams, dict) else ():
            try:
                record_of(value, name)
            except TypeError as error:
                raise TypeError(
                    f"hyperparameters of {type(owner).__name__}: {error}: "
                    f"self.save_hyperparameters(ignore=[{name!r}])"
                ) from error


_HOOKS_OF_LIGHTNING = (None, LightningModule.on_save_checkpoint)
"""The hooks that change no hyperparameter."""


def _end_epochs(checkpoint: dict[str, Any]) -> None:
    """Let loaders begin the next epoch: Lightning stops asking after the last batch."""
    for state in _loader_states(checkpoint):
        state.update(epoch=state["epoch"] + 1, position=0)


def _give_batch_again(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Move loaders to before the batch that they returned last."""
    states = _loader_states(checkpoint)
    for loader, state in zip(_loaders_of(trainer), states, strict=False):
        n_batches = max(0, loader.next_batch - 1)
        state["position"] = n_batches * (loader.batch_size or 1)


def _loaders_of(trainer: Trainer) -> list[ResumableLoader[Any]]:
    combined: Any = vars(trainer.fit_loop).get("_combined_loader")
    loaders = combined.flattened if combined is not None else ()
    return [loader for loader in loaders if isinstance(loader, ResumableLoader)]


def _loader_states(checkpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the positions of our loaders."""
    loop: Any = checkpoint.get("loops", {}).get("fit_loop", {}).get("state_dict", {})
    states: list[dict[str, Any]] = loop.get("combined_loader", [])
    return [state for state in states if state.keys() >= {"epoch", "position", "seed"}]


def _refuse_own_format(strategy: Any) -> None:
    """Raise ValueError for a strategy that would write pickles instead of records.

    Where several processes have shares of a module, it calls no CheckpointIO.
    """
    if vars(strategy).get("_state_dict_type") == "sharded":
        name = type(strategy).__name__
        raise ValueError(
            f"{name} writes the shards of each process in torch's own format, "
            f"which contains pickles, instead of a record. Pass {name}(..., "
            "state_dict_type='full'): the first process then writes a record of "
            "the whole model; or use ModelParallelStrategy, with which each "
            "process writes its shards of a record"
        )
