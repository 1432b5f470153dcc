"""A run that goes on, and again, is the one that was not stopped, to the last bit."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientAccumulationScheduler,
)
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from burnish.train import RecordCheckpoint, ResumableLoader

from .models import SHORT_RUNS, trainer

torch.set_num_threads(1)

pytestmark = [
    *SHORT_RUNS,
    # In the first epoch, before a validation has logged what is watched.
    pytest.mark.filterwarnings(
        "ignore:ReduceLROnPlateau conditioned on:RuntimeWarning"
    ),
]

DATA = TensorDataset(torch.randn(32, 3, generator=torch.Generator().manual_seed(0)))


class OfItsValue(ReduceLROnPlateau):
    """Lowers the rate by the value that it watches: another one is seen at once."""

    def step(self, metrics: Any, epoch: Any = None) -> None:  # type: ignore[override]  # as torch's does
        super().step(metrics)
        for group in self.optimizer.param_groups:
            group["lr"] *= 1 - 0.01 * (float(metrics) % 1.7)


class Random(LightningModule):
    """A module that draws random numbers; its schedulers watch what is logged."""

    def __init__(self, *schedulers: dict[str, Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 1))
        self.schedulers = schedulers
        self.steps: list[tuple[object, ...]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.layers(batch[0]).square().mean()
        for name, reduce in (("loss", "mean"), ("most", "max"), ("all", "sum")):
            self.log(name, loss, on_step=False, on_epoch=True, reduce_fx=reduce)
        self.log("now", loss)
        self._note(batch_idx)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.layers(batch[0]).sum())

    def on_train_end(self) -> None:
        self._note(-1)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.05, momentum=0.5)
        plans = [
            {**plan, "scheduler": OfItsValue(optimizer, patience=0, factor=0.9)}
            if "monitor" in plan
            else {**plan, "scheduler": StepLR(optimizer, 2, 0.95)}
            for plan in self.schedulers
        ]
        return [optimizer], plans

    def _note(self, batch_idx: int) -> None:
        (group,) = self.trainer.optimizers[0].param_groups
        epoch, step = self.trainer.current_epoch, self.trainer.global_step
        bits = float(next(self.parameters()).detach().sum())
        # Of those that loggers are told.
        n_steps = vars(self.trainer.fit_loop.epoch_loop)["_batches_that_stepped"]
        self.steps.append((epoch, step, n_steps, batch_idx, group["lr"], bits))


class Stopped(Exception):
    pass


class Stop(Callback):
    def __init__(self, n_batches: int) -> None:
        self.n_batches = n_batches

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        n_batches = trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1
        if n_batches >= self.n_batches:
            raise Stopped


class Pause(Callback):
    """Asks for a stop after a batch, as a timer does."""

    def __init__(self, n_batches: int) -> None:
        self.n_batches = n_batches

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        n_batches = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        trainer.should_stop = n_batches >= self.n_batches


def early_stopping() -> list[Callback]:
    return [
        EarlyStopping("loss", patience=3, mode="max", check_on_train_epoch_end=True)
    ]


def scheduled() -> list[Callback]:
    return [GradientAccumulationScheduler({0: 1, 1: 2, 3: 3})]


class Unsized(IterableDataset[Any]):
    """Data that does not know its length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(DATA[i] for i in range(len(DATA)))


PLAIN = {"loader": partial(DataLoader, DATA, 8, shuffle=True)}
UNSIZED = {"loader": partial(DataLoader, Unsized(), 8), "limit_val_batches": 0}

VAL, LOSS = {"monitor": "val_loss"}, {"monitor": "loss"}
MOST, ALL = {"monitor": "most"}, {"monitor": "all"}
NOW = {"monitor": "now", "interval": "step", "frequency": 2}
AFTER_VAL = {"save_on_train_epoch_end": False}
AFTER_EPOCH = {"save_on_train_epoch_end": True, "mode": "max"}
ON_EXCEPTION = {"save_on_exception": True, "every_n_train_steps": 1000}
BY_TWO = {"accumulate_grad_batches": 2}
STEPS = {"max_epochs": -1, "max_steps": 19}


def fit(
    folder: Path,
    module: Random,
    callbacks: list[dict[str, Any]],
    resume: str | None = None,
    n_batches: int = 10**9,
    others: Callable[[], list[Callback]] = list,
    **options: Any,
) -> list[tuple[object, ...]]:
    make_loader = options.pop("loader", partial(ResumableLoader, DATA, 8, shuffle=True))
    savers = [
        RecordCheckpoint(folder / str(i), save_top_k=-1, **saver)
        for i, saver in enumerate(callbacks)
    ]
    limit = options.pop("max_epochs", 5)
    called = [*savers, *others(), Stop(n_batches)]
    run = trainer(folder, limit, callbacks=called, **options)
    run.fit(module, make_loader(), DataLoader(DATA, 8), ckpt_path=resume)
    return module.steps


@pytest.mark.parametrize(
    ("gap", "schedulers", "callbacks", "options"),
    [
        (5, [VAL, LOSS, {}], [AFTER_VAL], {}),
        (5, [VAL, LOSS, {}], [AFTER_EPOCH], {}),
        (5, [VAL, LOSS, {}], [AFTER_VAL, AFTER_EPOCH], {}),
        (5, [VAL, LOSS], [AFTER_VAL, AFTER_EPOCH], STEPS),
        (5, [{}], [AFTER_EPOCH], {**STEPS, "others": early_stopping}),
        (5, [LOSS], [AFTER_VAL], {"others": early_stopping}),
        (5, [VAL, {}], [{"every_n_train_steps": 4}], {"others": early_stopping}),
        (6, [VAL, MOST, ALL], [{"every_n_train_steps": 3}], {}),
        (3, [NOW, LOSS], [{"every_n_train_steps": 1}], {}),
        (3, [LOSS], [{"every_n_train_steps": 3}], {"limit_val_batches": 0}),
        (5, [LOSS], [{"every_n_train_steps": 1}], {"accumulate_grad_batches": 3}),
        (9, [{**VAL, "strict": False}], [AFTER_VAL], {"check_val_every_n_epoch": 2}),
        (6, [VAL, {}], [{"every_n_train_steps": 1}], {"val_check_interval": 0.5}),
        (6, [VAL, LOSS], [AFTER_VAL], {"val_check_interval": 3}),
        (4, [], [AFTER_VAL], {"val_check_interval": 3, **BY_TWO}),
        (5, [], [AFTER_VAL], {"val_check_interval": 1, "others": scheduled}),
        (1, [], [{"every_n_train_steps": 3}], {"max_epochs": 2, **BY_TWO}),
        (7, [], [{"every_n_train_steps": 1}], {"others": scheduled}),
        (5, [{}], [AFTER_VAL, AFTER_EPOCH], PLAIN),
        (5, [{}], [{"every_n_train_steps": 4}], {**PLAIN, **STEPS}),
        (5, [LOSS, {}], [{"every_n_train_steps": 4}], UNSIZED),
        (7, [LOSS, {}], [ON_EXCEPTION], {}),
        (9, [VAL, MOST], [ON_EXCEPTION], {}),
        (4, [NOW, VAL, {}], [ON_EXCEPTION], {}),
        (4, [NOW, LOSS], [ON_EXCEPTION], STEPS),
    ],
)
def test_a_run_that_is_stopped_again_and_again_is_the_one_that_was_not(
    tmp_path: Path,
    gap: int,
    schedulers: list[dict[str, Any]],
    callbacks: list[dict[str, Any]],
    options: dict[str, Any],
) -> None:
    whole = fit(tmp_path / "whole", Random(*schedulers), callbacks, **options)
    folder, file, steps = tmp_path / "again", None, []
    choice = random.Random(0)
    for n_batches in range(gap, 10 * gap, gap):
        module = Random(*schedulers)
        with suppress(Stopped):
            steps = fit(folder, module, callbacks, file, n_batches, **options)
            break
        files = [f for i in range(len(callbacks)) for f in (folder / str(i)).glob("e*")]
        files.sort(key=lambda f: f.stat().st_mtime_ns)
        if files:
            file = str(choice.choice(files[-len(callbacks) :]))

    assert file is not None
    assert len(steps) > 1
    assert steps == whole[-len(steps) :]


@pytest.mark.parametrize(
    ("schedulers", "callbacks", "options"),
    [
        ([{}, LOSS], [AFTER_EPOCH], {}),
        ([{}, MOST, ALL], [AFTER_EPOCH], BY_TWO),
        ([{}], [{"save_last": True, "every_n_train_steps": 100}], BY_TWO),
        ([{}], [AFTER_EPOCH], {"others": scheduled}),
        ([{}], [AFTER_EPOCH, {"every_n_train_steps": 1}], {}),
    ],
)
@pytest.mark.parametrize("by", ["should_stop", "max_steps"])
def test_an_epoch_that_was_cut_short_continues_with_its_next_batch(
    tmp_path: Path,
    by: str,
    schedulers: list[dict[str, Any]],
    callbacks: list[dict[str, Any]],
    options: dict[str, Any],
) -> None:
    # Lightning validates at a stop, and the loader of that draws a number.
    options = {**options, "limit_val_batches": 0}
    whole = fit(tmp_path / "whole", Random(*schedulers), callbacks, **options)
    folder, file = tmp_path / "again", None
    steps: dict[tuple[object, ...], tuple[object, ...]] = {}
    others = options.pop("others", list)
    for n in range(3, 40, 3):
        module = Random(*schedulers)
        stop: dict[str, Any] = {"others": lambda n=n: [*others(), Pause(n)]}
        if by == "max_steps":
            stop = {"others": others, "max_steps": n}
        trained = fit(folder, module, callbacks, file, **stop, **options)
        # Those after the last save are trained again.
        steps |= {(step[0], step[3]): step for step in trained if step[3] != -1}
        files = [f for i in range(len(callbacks)) for f in (folder / str(i)).iterdir()]
        file = str(max(files, key=lambda f: f.stat().st_mtime_ns))

    assert [*steps.values()] == whole[:-1]
