"""Model: a LightningModule with typed hyperparameters that configure its training."""

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, Self, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor
from torch import Tensor

from ...config.short_text import with_article
from ...config.spelling import did_you_mean
from ...optim.simple import SimpleOptimizer
from ...records.processes.messages import n_processes
from ..class_lookup import optimizer_named, scheduler_named
from ..hparams import ModelHparams
from .load_module import load_lightning
from .record_checkpoint import RecordCheckpoint
from .record_io import let_read
from .typed_hparams import TypedHparams

H = TypeVar("H", bound=ModelHparams)

_is_loading: ContextVar[bool] = ContextVar("_is_loading", default=False)


def default_rate(cls: Any) -> dict[str, float]:
    """Return the learning rate of an optimizer whose class has no default for it."""
    return {"lr": 1e-3} if issubclass(cls, SimpleOptimizer) else {}


def _no_metrics(self: object, *args: object) -> dict[str, Tensor]:
    raise NotImplementedError(f"{type(self).__name__} does not define compute_metrics")


def _check_steps(cls: type["Model[Any]"]) -> None:
    """Raise TypeError for a class that would fail at its first batch."""
    if cls.compute_metrics is not _no_metrics:
        return
    if cls.training_step is not Model.training_step:
        # A class that overrides the steps may have no use for it.
        return
    hint = did_you_mean("compute_metrics", [n for n in vars(cls) if n[0] != "_"])
    raise TypeError(
        f"{cls.__qualname__} does not define compute_metrics(outputs, targets), which "
        f"returns a dict of numbers with 'loss' among them.{hint}"
    )


class Model(TypedHparams, LightningModule, Generic[H]):
    """Base of models: declare layers, ``forward`` and ``compute_metrics``.

    ``compute_metrics(outputs, targets)`` is called with the result of ``forward`` for
    the first item of a batch, and with the second item; ``compute_metrics(batch,
    batch_idx)`` with the batch. It returns a dict of numbers that contains ``"loss"``.
    """

    def __init__(self, hparams: H | dict[str, Any]) -> None:
        super().__init__()
        self.thparams: H = self.check_hparams(hparams, "Model")
        """The hyperparameters, typed."""
        _check_steps(type(self))
        # The name in a checkpoint was not chosen by the user.
        self._may_import = not _is_loading.get()
        # Lightning passes it to the constructor by its name.
        self.save_hyperparameters({self.hparams_argument(): self.thparams.to_dict()})

    compute_metrics: Callable[..., dict[str, Tensor]] = _no_metrics
    """Returns the metrics of a batch by name; "loss" is minimized."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch, and log every metric."""
        loss = self._step("training", batch, batch_idx)
        self._check_finite(loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log every metric of a batch."""
        self._step("validation", batch, batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log every metric of a batch."""
        self._step("test", batch, batch_idx)

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and the scheduler, of the hyperparameters."""
        chosen = self.thparams.optimizer
        cls = optimizer_named(chosen.module_name, may_import=self._may_import)
        optimizer = self._build_optimizer(cls, chosen.kwargs)
        plan = self.thparams.scheduler
        if plan is None or plan.module_name is None:
            return {"optimizer": optimizer}
        scheduler = scheduler_named(plan.module_name, may_import=self._may_import)
        with _arguments_named("scheduler.kwargs", scheduler):
            driver = scheduler(optimizer, **plan.kwargs)
        config: dict[str, Any] = {
            "scheduler": driver,
            "interval": plan.interval,
            "frequency": plan.frequency,
        }
        if plan.monitor is not None:
            config["monitor"] = plan.monitor
        return {"optimizer": optimizer, "lr_scheduler": config}

    def configure_callbacks(self) -> list[Callback]:
        """Return callbacks for checkpoints, early stopping and learning rates."""
        callbacks: list[Callback] = []
        if self.thparams.checkpoint is not None:
            callbacks.append(RecordCheckpoint(**self.thparams.checkpoint))
        if self.thparams.early_stopping is not None:
            callbacks.append(EarlyStopping(**self.thparams.early_stopping))
        if self._trainer is not None and self._trainer.loggers:
            callbacks.append(LearningRateMonitor())
        return callbacks

    def on_edit(self, changes: Sequence[Any]) -> None:
        """Apply edits of `thparams`; does nothing for values read at each step.

        ``burnish fit`` calls it after a user edited fields of a running run, with the
        path and both values of each, as in the file. Any error it raises refuses the
        edit and restores ``thparams``.
        """

    def setup(self, stage: str) -> None:
        """Set the precision of matrix products, and let the trainer read records."""
        if self._trainer is not None:
            let_read(self._trainer, self)
        torch.set_float32_matmul_precision(self.thparams.matmul_precision)

    @property
    def num_params(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.parameters())

    @property
    def num_params_by_module(self) -> dict[str, int]:
        """Number of parameters in each direct child; "total" has all of them."""
        return self.num_params_by_depth(1)

    def num_params_by_depth(self, depth: int | None = None) -> dict[str, int]:
        """Return the number of parameters in each module down to ``depth``, by path.

        A depth of None means all levels; "total" has all parameters. A parameter of two
        modules counts in both, and once in the modules around them.
        """
        return {
            path or "total": sum(p.numel() for p in module.parameters())
            for path, module in self.named_modules()
            if not path or depth is None or path.count(".") < depth
        }

    def fit_fast(
        self,
        train_loader: Any,
        val_loader: Any = None,
        n_epochs: int = 1,
        lr: float = 1e-3,
        accelerator: str = "cpu",
        precision: Any = 32,
        verbose: bool = True,
    ) -> Trainer:
        """Train with Adam for a few epochs, writing no files; return the trainer."""
        changed = {"module_name": "torch.optim.Adam", "kwargs": {"lr": lr}}
        before = self.thparams
        self.thparams = before.model_copy(
            update={
                "optimizer": type(before.optimizer).from_dict(changed),
                "scheduler": None,
                "checkpoint": None,
                "early_stopping": None,
            }
        )
        trainer = Trainer(
            max_epochs=n_epochs,
            accelerator=accelerator,
            devices=1,
            precision=precision,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=verbose,
            enable_model_summary=verbose,
        )
        try:
            trainer.fit(self, train_loader, val_loader)
        finally:
            self.thparams = before
        return trainer

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: object,
        map_location: object = None,
        hparams_file: object = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: object,
    ) -> Self:
        """Return the trained model of a checkpoint, built without initializing it."""
        token = _is_loading.set(True)
        try:
            return load_lightning(
                cls,
                checkpoint_path,
                map_location,
                hparams_file=hparams_file,
                strict=strict,
                weights_only=weights_only,
                **kwargs,
            )
        finally:
            _is_loading.reset(token)

    def _step(self, stage: str, batch: object, batch_idx: int) -> Tensor:
        if _takes_batch(type(self).compute_metrics):
            metrics: Any = self.compute_metrics(batch, batch_idx)
        else:
            outputs, targets = _outputs_and_targets(self, batch)
            metrics = self.compute_metrics(outputs, targets)
        if not isinstance(metrics, dict) or "loss" not in metrics:
            result = [*metrics] if isinstance(metrics, dict) else metrics
            hint = did_you_mean("loss", result) if isinstance(result, list) else ""
            raise ValueError(
                f"{type(self).__qualname__}.compute_metrics must return a dict with "
                f"'loss'; found {result!r:.200}.{hint}"
            )
        for name, value in metrics.items():
            # Each process has other samples, so logged metrics are averaged over all of
            # them.
            self.log(
                f"{stage}/{name}",
                value,
                prog_bar=name == "loss",
                sync_dist=n_processes() > 1,
            )
        loss: Tensor = metrics["loss"]
        return loss

    def _check_finite(self, loss: Tensor) -> None:
        # On an accelerator, reading the value waits for it, so it is not done at each
        # step.
        step = self._trainer.global_step if self._trainer is not None else 0
        if loss.device.type != "cpu" and step % 50:
            return
        if not bool(torch.isfinite(loss.detach()).all()):
            raise FloatingPointError(
                f"training/loss is {loss.detach().float().mean().item()} at step "
                f"{step}: lower the learning rate, clip gradients "
                "(trainer.gradient_clip_val), or look for NaN in the data. Earlier "
                "checkpoints are not affected."
            )

    def _build_optimizer(self, cls: Any, kwargs: dict[str, Any]) -> Any:
        with _arguments_named("optimizer.kwargs", cls):
            if issubclass(cls, SimpleOptimizer):
                options = {**default_rate(cls), **kwargs}
                rate = options.pop("lr")
                return cls(**options).bind(self, lr=rate)
            if cls.__module__.startswith("burnish."):
                return cls(self, **kwargs)
            return cls(self.parameters(), **kwargs)


@contextmanager
def _arguments_named(path: str, cls: Any) -> Generator[None]:
    """Prefix errors with the ``path`` of the config that caused them."""
    try:
        yield
    except (TypeError, ValueError) as error:
        # An error of a user-defined class already shows its own lines.
        if cls.__module__.partition(".")[0] not in ("burnish", "torch"):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{path} do not fit {cls.__qualname__}: {error}") from error


def _takes_batch(compute_metrics: Callable[..., Any]) -> bool:
    """Return whether the signature is ``(self, batch, ...)``, not with targets."""
    names = [*inspect.signature(compute_metrics).parameters][1:]
    return bool(names) and names[0] in ("batch", "args")


def _outputs_and_targets(model: Any, batch: Any) -> tuple[Any, Any]:
    """Return the output of ``model`` for a batch's inputs, and its targets.

    Raises TypeError for a batch that is not a pair; such a model takes the batch
    itself.
    """
    if isinstance(batch, Sequence) and len(batch) == 2 and not isinstance(batch, str):
        return model(batch[0]), batch[1]
    batch_kind = (
        f"a dict of {', '.join(map(str, batch))}"
        if isinstance(batch, Mapping)
        else with_article(type(batch).__name__)
    )
    raise TypeError(
        f"compute_metrics(outputs, targets) needs batches of two items, found "
        f"{batch_kind}; write compute_metrics(self, batch, batch_idx) for other "
        "batches"
    )
