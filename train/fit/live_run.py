"""A run of ``burnish fit`` that follows the config in its folder while it trains."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ...config.classes.fields import fields_of
from ...config.errors import ConfigError, Problem
from ...config.hparams import Hparams
from ...config.live.changes import Change
from ...config.live.history import Edit, edit_line
from ...config.live.live_config import LOG, LiveConfig
from ...config.path import child, parts
from ...config.process.transaction import Transaction
from ..checkpoints.distributed import is_writer
from ..hyperstate.live_edits import LiveEdits
from ..lightning.data_module import DataModule
from .beginning import FILE, LIVE_RUN, FitBeginning
from .fit_config import DATA, KWARGS, MODEL, RUN, TrainerHparams
from .optimizer_arguments import OptimizerArguments


class LiveRun(Callback):
    """Looks for edits before each step of the optimizer, and applies them.

    Checkpoints have the edits up to then.
    """

    def __init__(
        self,
        beginning: FitBeginning,
        data: DataModule[Any],
        on_edit: Callable[[Sequence[Change]], object],
    ) -> None:
        """Follow the config of ``beginning``, and call ``on_edit`` for changes."""
        self._folder, self._start = beginning.folder, beginning.start
        self._composed, self._past = beginning.composed, beginning.past
        self._data, self._on_edit = data, on_edit
        self._config = self._start.config
        self._held: set[str] = set()
        self._arguments: OptimizerArguments | None = None
        self._step = -1
        self._edits: LiveEdits[Hparams] | None = None

    @property
    def state_key(self) -> str:
        """The key of the state in Lightning's checkpoints."""
        return LIVE_RUN

    @property
    def config(self) -> Hparams:
        """The config in force."""
        return self._config

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The history of the config so far; on the first process alone."""
        return tuple(self._past) if self._edits is None else self._edits.edits

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record which groups have which argument; apply the config to model and data.

        Optimizers were created from what was composed, and none is restored yet.
        """
        self._arguments = OptimizerArguments(trainer, _kwargs(self._composed))
        for part, section in ((pl_module, MODEL), (self._data, DATA)):
            before, after = self._composed[section], self._config[section]
            set_hparams(part, before, after, Transaction())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to follow the config."""
        self._trainer, self._model = trainer, pl_module
        if self._arguments is not None:
            self._follow_optimizers(self._arguments)
        step = trainer.global_step
        live: LiveConfig[Hparams] | None = None
        if is_writer():
            live = LiveConfig(
                self._folder,
                self._config,
                file=self._folder / FILE,
                past=self._past,
                overrides=self._start.overrides,
                step=step,
            )
        self._edits = LiveEdits(
            live, number=step, on_edit=self._tell_model, annotate=self._annotate
        )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look for edits, unless gradients are accumulated for a started step."""
        step = trainer.global_step
        if step != self._step and self._edits is not None:
            self._step = step
            self._edits.look(lambda: step, self._config, self._take)
        # Schedulers of torch have set their numbers again since the last step.
        if self._arguments is not None:
            self._arguments.hold()

    def state_dict(self) -> dict[str, Any]:
        """Return the edits, as plain data."""
        held_paths = self._held if self._arguments is None else self._arguments.held
        return {"edits": [*map(edit_line, self.edits)], "held": sorted(held_paths)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Hold again what edits took from schedulers; the rest was read before."""
        self._held = {*state_dict["held"]}

    def _follow_optimizers(self, arguments: OptimizerArguments) -> None:
        """Let groups follow, and set the values that the run was newly started with."""
        kwargs = _kwargs(self._config)
        arguments.held = {*self._held}
        arguments.follow(kwargs)
        new_keys = {
            key for key in kwargs if child(KWARGS, key) in self._start.new_paths
        }
        for key in new_keys:
            if arguments.is_scheduled(key):
                LOG.warning("%s: the resumed scheduler sets %s", KWARGS, key)
        arguments.renew({key for key in new_keys if not arguments.is_scheduled(key)})

    def _take(self, config: Hparams, transaction: Transaction) -> None:
        """Put ``config`` in force."""
        before = self._config
        if self._arguments is not None:
            self._arguments.take(_kwargs(before), _kwargs(config), transaction)
        limits = before[RUN].trainer, config[RUN].trainer
        _take_limits(self._trainer, *limits, transaction)
        set_hparams(self._model, before[MODEL], config[MODEL], transaction)
        set_hparams(self._data, before[DATA], config[DATA], transaction)
        transaction.undo_with(lambda: setattr(self, "_config", before))
        self._config = config

    def _tell_model(self, config: Hparams, changes: tuple[Change, ...]) -> None:
        self._on_edit(changes)

    def _annotate(self, change: Change) -> Change:
        """Return ``change`` with its meaning for a scheduler, if any."""
        names = parts(change.path)
        kwargs = parts(KWARGS)
        is_argument = names[: len(kwargs)] == kwargs
        if self._arguments is None or not is_argument or change.note:
            return change
        keys = {*names[len(kwargs) :][:1]} or {*_kwargs(self._config)}
        return replace(change, note=self._arguments.note(keys))


def set_hparams(
    part: Any, before: Hparams, after: Hparams, transaction: Transaction
) -> None:
    """Set the fields of a model or data in which ``after`` differs from ``before``.

    The hyperparameters that Lightning stores in checkpoints are updated as well.
    """
    earlier_hparams: Any = part.thparams
    changed = {
        field.attribute: after[name]
        for name, field in fields_of(type(after)).items()
        if after[name] != before[name]
    }
    transaction.undo_with(lambda: setattr(part, "thparams", earlier_hparams))
    part.thparams = earlier_hparams.model_copy(update=changed)
    argument, lightning_hparams = part.hparams_argument(), part.hparams
    if (earlier_dict := lightning_hparams.get(argument)) is not None:
        transaction.undo_with(
            lambda: lightning_hparams.update({argument: earlier_dict})
        )
        lightning_hparams[argument] = part.thparams.to_dict()


def _kwargs(config: Hparams) -> dict[str, Any]:
    kwargs: dict[str, Any] = config[MODEL].optimizer.kwargs
    return kwargs


def _take_limits(
    trainer: Trainer,
    before: TrainerHparams,
    after: TrainerHparams,
    transaction: Transaction,
) -> None:
    """Set the numbers on ``trainer`` in which ``after`` differs.

    Raises ConfigError, and changes nothing, for one that it would refuse.
    """
    changed = {
        name: after[name] for name in _HOLDERS_OF_LIMITS if after[name] != before[name]
    }
    for name, value in changed.items():
        _check_limit(trainer, name, value)
    for name, value in changed.items():
        holder: Any = _HOLDERS_OF_LIMITS[name](trainer)
        transaction.undo_with(partial(setattr, holder, name, getattr(holder, name)))
        setattr(holder, name, value)


_HOLDERS_OF_LIMITS: dict[str, Callable[[Trainer], Any]] = {
    "max_epochs": lambda trainer: trainer.fit_loop,
    "max_steps": lambda trainer: trainer.fit_loop.epoch_loop,
    "gradient_clip_val": lambda trainer: trainer,
    "log_every_n_steps": lambda trainer: trainer,
}
"""The object that holds each number, by its name."""


def _check_limit(trainer: Trainer, name: str, value: Any) -> None:
    clips = trainer.lightning_module.automatic_optimization
    problem = ""
    if name in ("max_epochs", "max_steps") and (value is None or value < -1):
        problem = f"expected a count, or -1 for no limit, found {value}"
    elif name == "gradient_clip_val" and value is not None and not value >= 0:  # or NaN
        problem = f"expected a number of at least 0, or null, found {value}"
    elif name == "gradient_clip_val" and not clips:
        problem = "the trainer does not clip gradients under manual optimization"
    if problem:
        raise ConfigError("", [Problem(f"{RUN}.trainer.{name}", problem)])
