import logging
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from burnish.config import ConfigError, Hparams
from burnish.optim import Lion, OptimizerAdaptor
from burnish.records import RecordChecksumError, RecordFormatError
from burnish.train import (
    CheckpointHparams,
    DataHparams,
    DataModule,
    EarlyStoppingHparams,
    Model,
    ModelHparams,
    OptimizerHparams,
    RecordCheckpoint,
    SchedulerHparams,
    load_lightning,
)
from burnish.train.lightning.record_io import read_checkpoint

from ..killed import killed_everywhere

torch.set_num_threads(1)

pytestmark = [
    # Lightning's own use of a class that torch renamed.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
    # Lightning proposes more worker processes for every loader that has none.
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*:Warning"),
    # Lightning notes that logs are written every 50 steps and tests have fewer.
    pytest.mark.filterwarnings("ignore:.*number of training batches.*:Warning"),
    # The folder of checkpoints is not empty when a run is resumed.
    pytest.mark.filterwarnings("ignore:.*exists and is not empty.*:Warning"),
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)
    torch.set_float32_matmul_precision("highest")


class Width(ModelHparams):
    d: int = 2


class Net(Model[Width]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.layer = nn.Linear(10, 2)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.dropout(self.layer(x))
        return made

    def compute_metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.mse_loss(outputs, targets)}


class Data(DataModule[DataHparams]):
    def get_dataset(self) -> Dataset[Any]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(100, 10, generator=generator)
        return TensorDataset(x, x[:, :2] + 0.1)


def data(**options: Any) -> Data:
    loader = {"batch_size": 16, "shuffle": True}
    return Data({"loader": loader, "seed": 1, **options})


def trainer(folder: Path, max_epochs: int, **options: Any) -> Trainer:
    return Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        **options,
    )


def test_the_defaults_are_those_of_the_seed() -> None:
    made = ModelHparams()

    assert made.optimizer == OptimizerHparams(module_name="torch.optim.Adam", kwargs={})
    assert made.scheduler is None
    assert made.checkpoint is not None
    kept = made.checkpoint
    assert (kept.monitor, kept.mode, kept.save_top_k) == ("validation/loss", "min", 3)
    assert (kept.save_last, kept.every_n_epochs) == (True, 1)
    assert made.early_stopping is None
    stopping = EarlyStoppingHparams()
    assert (stopping.patience, stopping.min_delta) == (3, 0.0)
    assert stopping.check_finite is True
    assert made.matmul_precision == "highest"
    with pytest.raises(ValueError, match="matmul_precision"):
        ModelHparams(matmul_precision="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # wrong on purpose


def test_a_model_has_typed_hyperparameters_from_a_dict_or_an_object() -> None:
    assert Net({"d": 3}).thparams == Width(d=3)
    assert Net(Width(d=4)).thparams.d == 4
    for wrong in (None, "x", ModelHparams(), Hparams()):
        with pytest.raises(TypeError, match="takes Width or a dict"):
            Net(wrong)
    with pytest.raises(ConfigError, match=r"dd: unknown field.*Did you mean 'd'"):
        Net({"dd": 3})


def test_a_subclass_uses_the_type_of_its_parent() -> None:
    class Child(Net):
        pass

    class Untyped(Model):  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument]  # wrong on purpose
        pass

    assert Child({"d": 7}).thparams == Width(d=7)
    with pytest.raises(TypeError, match=r"class Untyped\(Model\[MyHparams\]\)"):
        Untyped({})


@pytest.mark.parametrize("found", [None, {}, {"los": torch.tensor(1.0)}])
def test_metrics_without_a_loss_are_an_error(found: Any) -> None:
    class Bad(Net):
        def compute_metrics(self, outputs: Tensor, targets: Tensor) -> Any:
            return found

    batch = (torch.randn(4, 10), torch.randn(4, 2))
    with pytest.raises(ValueError, match="dict with 'loss'"):
        Bad({}).training_step(batch, 0)


def test_steps_return_a_loss_with_grad_and_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, logged = Net({}), dict[str, bool]()
    batch = (torch.randn(4, 10), torch.randn(4, 2))

    def log(name: str, value: Tensor, prog_bar: bool) -> None:
        logged[name] = prog_bar

    monkeypatch.setattr(model, "log", log)

    assert model.training_step(batch, 0).requires_grad
    model.validation_step(batch, 0)
    model.test_step(batch, 0)
    assert logged == {"training/loss": True, "validation/loss": True, "test/loss": True}


def test_a_model_may_take_the_batch_itself() -> None:
    class Whole(Net):
        def compute_metrics(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # the other way to write it
            return {"loss": self(batch).sum() + batch_idx}

    with pytest.raises(TypeError, match="batches of two"):
        Net({}).training_step(torch.randn(4, 10), 0)
    model = Whole({})
    model.log = lambda *_, **__: None  # type: ignore[assignment, method-assign]  # pyright: ignore[reportAttributeAccessIssue]  # no trainer here
    assert model.training_step(torch.randn(4, 10), 0).requires_grad


def test_optimizer_and_scheduler_are_found_by_name() -> None:
    model = Net(
        {
            "optimizer": {
                "module_name": "torch.optim.SGD",
                "kwargs": {"lr": "1e-2", "momentum": 0.9},
            },
            "scheduler": {
                "module_name": "torch.optim.lr_scheduler.StepLR",
                "kwargs": {"step_size": 10, "gamma": 0.1},
            },
        }
    )

    made = model.configure_optimizers()

    optim, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert type(optim) is torch.optim.SGD
    assert type(schedule) is torch.optim.lr_scheduler.StepLR
    assert optim.param_groups[0]["lr"] == 0.01
    assert [id(p) for p in optim.param_groups[0]["params"]] == [
        id(p) for p in model.parameters()
    ]


def test_ours_are_found_too_and_other_names_are_refused() -> None:
    def optimizer(name: str, **kwargs: Any) -> Any:
        chosen = {"module_name": name, "kwargs": kwargs}
        return Net({"optimizer": chosen}).configure_optimizers()["optimizer"]

    ours = optimizer("burnish.optim.Lion", lr=0.5)
    assert isinstance(ours, OptimizerAdaptor)
    assert ours.param_groups[0]["kind"] == Lion.__name__
    assert ours.param_groups[0]["lr"] == 0.5
    with pytest.raises(ValueError, match=r"has no 'Adm'.*Did you mean 'Adam'"):
        optimizer("torch.optim.Adm")
    with pytest.raises(TypeError, match="not an optimizer"):
        optimizer("os.system", command="true")
    with pytest.raises(ValueError, match="no module 'no_such_package'"):
        optimizer("no_such_package.Adam")
    with pytest.raises(TypeError, match="kwargs do not fit Adam"):
        optimizer("torch.optim.Adam", learning_rate=1.0)


def test_a_name_from_a_checkpoint_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "sneaky_module.py").write_text("raise SystemExit('imported')")
    sys.path.insert(0, str(tmp_path))
    try:
        run = trainer(tmp_path, 1)
        run.fit(Net({}), datamodule=data())
        folder = Path(run.checkpoint_callback.last_model_path)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]  # ours has it
        from burnish.train import Checkpoint
        from burnish.train.lightning.record_io import RecordIO, read_checkpoint

        tree = read_checkpoint(folder)
        chosen = tree["hyper_parameters"]["hparams"]["optimizer"]
        chosen["module_name"] = "sneaky_module.Optimizer"
        RecordIO().save_checkpoint(tree, folder)
        assert Checkpoint.read(folder).parts == ["model", "training"]
        model = Net.load_from_checkpoint(folder)

        with pytest.raises(ValueError, match="checkpoints import nothing"):
            model.configure_optimizers()
    finally:
        sys.path.remove(str(tmp_path))


def test_parameters_are_counted() -> None:
    model = Net({})

    assert model.num_params == 22
    assert model.num_params_by_module == {"total": 22, "layer": 22, "dropout": 0}


def test_the_last_checkpoint_loads_with_default_settings(tmp_path: Path) -> None:
    model = Net(
        {"d": 5, "early_stopping": {"patience": 9}, "scheduler": None, "optimizer": {}}
    )
    run = trainer(tmp_path, 2)
    run.fit(model, datamodule=data())
    kept: Any = run.checkpoint_callback

    again = Net.load_from_checkpoint(kept.last_model_path)

    assert again.thparams == model.thparams
    assert torch.equal(again.layer.weight, model.layer.weight)
    assert sorted(os.listdir(kept.last_model_path)) == [
        "checkpoint.json",
        "model.mpk",
        "training.mpk",
    ]


def test_no_pickle_is_written_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)

    run = trainer(tmp_path, 1)
    run.fit(Net({}), datamodule=data())
    kept: Any = run.checkpoint_callback
    again = trainer(tmp_path, 2)
    again.fit(Net({}), datamodule=data(), ckpt_path=kept.last_model_path)

    assert again.current_epoch == 2


def test_the_best_are_named_after_the_real_value(tmp_path: Path) -> None:
    run = trainer(tmp_path, 2)
    run.fit(Net({}), datamodule=data())
    kept: Any = run.checkpoint_callback

    name = Path(kept.best_model_path).name
    assert name == f"epoch=1-validation_loss={float(kept.best_model_score):.4f}"
    assert float(kept.best_model_score) != 0.0


def test_a_metric_in_a_name_that_was_never_logged_is_warned_of(
    tmp_path: Path,
) -> None:
    chosen = {"filename": "{epoch}-{validaton/loss:.2f}"}
    run = trainer(tmp_path, 1)

    with pytest.warns(UserWarning, match="Did you mean 'validation/loss'"):
        run.fit(Net({"checkpoint": chosen}), datamodule=data())


def test_splits_are_seeded_and_leave_the_common_generator_alone() -> None:
    def indices(made: Data) -> list[int]:
        return [*made.train.indices]

    before = torch.get_rng_state()
    first = data(seed=42, split=(0.7, 0.2, 0.1))

    assert torch.equal(torch.get_rng_state(), before)
    assert [len(p) for p in (first.train, first.val, first.test)] == [70, 20, 10]
    assert indices(first) == indices(data(seed=42, split=(0.7, 0.2, 0.1)))
    assert indices(first) != indices(data(seed=999, split=(0.7, 0.2, 0.1)))
    assert data(split=(0.8, 0.2)).test is None
    assert data(split=(0.8, 0.2)).test_loader is None
    with pytest.raises(ValueError, match="sum to 1"):
        data(split=(0.5, 0.3))


def test_only_training_data_are_shuffled() -> None:
    made = data(
        split=(0.8, 0.2), loader={"batch_size": 15, "shuffle": True, "drop_last": True}
    )

    first, second = ([b[0].sum().item() for b in made.train_loader] for _ in range(2))
    assert len(first) == 5
    assert first != second
    first, second = ([b[0].sum().item() for b in made.val_loader] for _ in range(2))
    assert first == second
    assert len(first) == 2


def test_a_drawn_seed_can_be_read_and_used_again() -> None:
    drawn = [Data({}).thparams.seed for _ in range(10)]
    made = Data({})
    again = Data(made.thparams.to_dict())

    assert len({*drawn}) > 1
    assert again.train.indices == made.train.indices
    assert made.train_loader is None
    with pytest.raises(ValueError, match="has no loader"):
        made.train_dataloader()


def test_two_way_splits_and_no_checkpoints_work(tmp_path: Path) -> None:
    run = trainer(tmp_path, 1, enable_checkpointing=False)

    run.fit(Net({"checkpoint": None}), datamodule=data(split=(0.8, 0.2)))

    assert run.current_epoch == 1
    assert os.listdir(tmp_path) == []


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    chosen = {
        "optimizer": {"module_name": "burnish.optim.AdamW", "kwargs": {"lr": 0.01}},
        "scheduler": {
            "module_name": "CosineAnnealingLR",
            "kwargs": {"T_max": 10},
            "interval": "step",
        },
    }

    whole = run_of(tmp_path / "whole", 4, chosen, None)
    run_of(tmp_path / "part", 2, chosen, None)
    last = tmp_path / "part/checkpoints/last"
    torch.rand(11)
    resumed = run_of(tmp_path / "part", 4, chosen, str(last))

    assert torch.equal(whole.layer.weight, resumed.layer.weight)


def run_of(folder: Path, n_epochs: int, chosen: Any, resume: str | None) -> Net:
    torch.manual_seed(7)
    model = Net(chosen)
    made = trainer(folder, n_epochs, accumulate_grad_batches=2)
    made.fit(model, datamodule=data(), ckpt_path=resume)
    return model


def test_fit_fast_trains_with_adam_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Net({"optimizer": {"module_name": "torch.optim.SGD"}})
    before = model.layer.weight.clone()
    made = data()

    monkeypatch.chdir(tmp_path)
    run = model.fit_fast(made.train_loader, made.val_loader, lr=0.5, verbose=False)

    assert type(run.optimizers[0]) is torch.optim.Adam
    assert run.optimizers[0].param_groups[0]["lr"] == 0.5
    assert run.logger is None
    assert not torch.equal(before, model.layer.weight)
    assert os.listdir(tmp_path) == []
    assert model.thparams.optimizer.module_name == "torch.optim.SGD"


def test_plateau_schedulers_look_at_their_metric(tmp_path: Path) -> None:
    schedule = SchedulerHparams(
        module_name="ReduceLROnPlateau",
        kwargs={"patience": 0, "threshold": 1e9},
        monitor="validation/loss",
    )
    run = trainer(tmp_path, 3)

    run.fit(Net({"scheduler": schedule.to_dict()}), datamodule=data())

    assert run.optimizers[0].param_groups[0]["lr"] < 1e-3


def test_a_loss_that_is_nan_ends_the_run_and_keeps_what_was_saved(
    tmp_path: Path,
) -> None:
    class Diverging(Net):
        def compute_metrics(
            self, outputs: Tensor, targets: Tensor
        ) -> dict[str, Tensor]:
            factor = float("nan") if self.current_epoch == 1 else 1.0
            return {"loss": outputs.sum() * factor}

    run = trainer(tmp_path, 3)

    with pytest.raises(FloatingPointError, match=r"is nan at step 5.*learning rate"):
        run.fit(Diverging({}), datamodule=data())
    assert Net.load_from_checkpoint(tmp_path / "checkpoints/last").num_params == 22


class Plain(LightningModule):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(10, width)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch[0]).square().mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters())


def test_the_callback_works_for_any_lightning_module(tmp_path: Path) -> None:
    callback = RecordCheckpoint(dirpath=tmp_path, monitor="train_loss", save_last=True)
    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)
    model = Plain(4)
    run = trainer(tmp_path, 2, callbacks=[callback])
    run.fit(model, loader)

    again = load_lightning(Plain, callback.last_model_path)
    resumed = trainer(tmp_path, 3, callbacks=[callback])
    resumed.fit(Plain(4), loader, ckpt_path=callback.last_model_path)

    assert again.layer.out_features == 4
    assert torch.equal(again.layer.weight, model.layer.weight)
    assert resumed.current_epoch == 3


def test_a_trainer_without_the_callback_reads_the_folder_into_a_model(
    tmp_path: Path,
) -> None:
    run_of(tmp_path, 1, {}, None)
    quiet = trainer(tmp_path / "other", 2, enable_checkpointing=False)
    last = tmp_path / "checkpoints/last"
    model = Net({"checkpoint": None})

    with pytest.warns(UserWarning, match="RecordCheckpoint"):
        quiet.fit(model, datamodule=data(), ckpt_path=str(last))

    assert quiet.current_epoch == 2
    quiet.save_checkpoint(tmp_path / "plain.ckpt")
    assert (tmp_path / "plain.ckpt").is_file()


def test_checkpoints_that_lightning_wrote_are_read(tmp_path: Path) -> None:
    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)
    model = Plain(4)
    run = trainer(tmp_path, 1)
    run.fit(model, loader)
    run.save_checkpoint(tmp_path / "old.ckpt")

    again = load_lightning(Plain, str(tmp_path / "old.ckpt"))

    assert torch.equal(again.layer.weight, model.layer.weight)


def test_what_is_no_data_is_named_and_the_last_checkpoint_stays(
    tmp_path: Path,
) -> None:
    from burnish.train import RecordIO

    tree = {"state_dict": {"w": torch.ones(2)}, "global_step": 3}
    RecordIO().save_checkpoint(tree, tmp_path / "last")

    bad = {**tree, "hyper_parameters": {"act": nn.ReLU()}}
    with pytest.raises(TypeError, match=r"training\.hyper_parameters\.act: a "):
        RecordIO().save_checkpoint(bad, tmp_path / "last")

    back = RecordIO().load_checkpoint(tmp_path / "last")
    assert torch.equal(back["state_dict"]["w"], torch.ones(2))
    assert os.listdir(tmp_path) == ["last"]


def test_a_kill_while_the_last_is_replaced_leaves_one_of_both(tmp_path: Path) -> None:
    from burnish.train import RecordIO

    folder = tmp_path / "run"

    def prepare() -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        RecordIO().save_checkpoint(tree(1), folder / "last")
        return lambda: RecordIO().save_checkpoint(tree(2), folder / "last")

    def tree(n: int) -> dict[str, Any]:
        return {"state_dict": {"w": torch.full((2,), float(n))}, "global_step": n}

    n_kills = 0
    for _ in killed_everywhere(prepare):
        n_kills += 1
        back = RecordIO().load_checkpoint(folder / "last")
        assert back["state_dict"]["w"].tolist() == [float(back["global_step"])] * 2
    assert n_kills > 10


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    from burnish.train import RecordIO

    tree = {"state_dict": {"w": torch.arange(100.0)}, "global_step": 3}
    RecordIO().save_checkpoint(tree, tmp_path / "last")
    data = bytearray((tmp_path / "last/model.mpk").read_bytes())
    data[-100] ^= 4
    (tmp_path / "last/model.mpk").write_bytes(data)

    with pytest.raises((RecordChecksumError, RecordFormatError), match=r"model\.mpk"):
        RecordIO().load_checkpoint(tmp_path / "last")


def test_checkpoints_of_any_monitor_can_be_configured() -> None:
    callback = Net({"checkpoint": CheckpointHparams(monitor="a/b").to_dict()})

    (made,) = callback.configure_callbacks()

    assert isinstance(made, RecordCheckpoint)
    assert made.filename == "epoch={epoch}-a_b={a/b:.4f}"


def test_without_lightning_the_cure_is_told() -> None:
    code = (
        "import sys; sys.modules['lightning'] = None\n"
        "try:\n    from burnish.train import Model\n"
        "except ImportError as error:\n    print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "pip install 'burnish[train]'" in done.stdout


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_resumed_in_the_middle_of_an_epoch_ends_with_the_same_bits(
    every: int, tmp_path: Path
) -> None:
    def run_in(folder: Path, n_steps: int, resume: str | None = None) -> Net:
        torch.manual_seed(7)
        model = Net({"checkpoint": None})
        callback = RecordCheckpoint(
            dirpath=folder, every_n_train_steps=every, save_last=True, save_top_k=1
        )
        run = trainer(folder, 5, max_steps=n_steps, callbacks=[callback])
        run.fit(model, datamodule=data(), ckpt_path=resume)
        return model

    whole = run_in(tmp_path / "whole", 12)
    run_in(tmp_path / "part", 3)
    torch.rand(5)

    resumed = run_in(tmp_path / "part", 12, str(tmp_path / "part/last"))

    assert torch.equal(whole.layer.weight, resumed.layer.weight)


class Dropped(Plain):
    """Draws in every step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        dropped = nn.functional.dropout(batch[0], 0.5)
        loss: Tensor = self.layer(dropped).square().mean()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def dropped_run(folder: Path, n_epochs: int, resume: Path | None = None) -> Plain:
    """Train on batches that torch's own loader shuffles."""
    torch.manual_seed(7)
    model = Dropped(4)
    generator = torch.Generator().manual_seed(1)
    rows = TensorDataset(torch.randn(20, 10, generator=generator))
    callback = RecordCheckpoint(dirpath=folder, save_last=True)
    run = trainer(folder, n_epochs, callbacks=[callback])
    run.fit(model, DataLoader(rows, 5, shuffle=True), ckpt_path=resume)
    return model


def test_a_run_resumed_after_an_epoch_draws_order_and_dropout_as_uninterrupted(
    tmp_path: Path,
) -> None:
    whole = dropped_run(tmp_path / "whole", 4)
    dropped_run(tmp_path / "part", 2)

    resumed = dropped_run(tmp_path / "part", 4, tmp_path / "part/last")

    assert torch.equal(whole.layer.weight, resumed.layer.weight)


def test_several_processes_are_told_that_their_generators_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped_run(tmp_path / "one", 1)
    assert "random_generators" in read_checkpoint(tmp_path / "one/last")
    monkeypatch.setattr(
        "burnish.train.lightning.record_checkpoint.n_processes", lambda: 2
    )

    with pytest.warns(UserWarning, match="several train here"):
        dropped_run(tmp_path / "two", 1)
    with pytest.warns(UserWarning, match="several train here"):
        dropped_run(tmp_path / "one", 2, tmp_path / "one/last")

    assert "random_generators" not in read_checkpoint(tmp_path / "two/last")
