from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import nn

import burnish
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import FormatError
from burnish.records import RecordMismatchError
from burnish.train import Model, ModelHparams, RecordCheckpoint, load_lightning

pytestmark = pytest.mark.filterwarnings("ignore")


@burnish.module
class Lit(BoringModel):
    def __init__(self, width: int = 4, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.save_hyperparameters()
        layers = [nn.Linear(32, width), act(), nn.Linear(width, 2)]
        whole: Any = nn.Sequential(*layers)
        self.layer = whole


@burnish.module
class Unrelated(BoringModel):
    pass


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[Path, Any]:
    cls: Any = Lit
    blueprint = cls.blueprint(width=6).configure("layer.1", nn.Tanh)
    module = blueprint.configure("layer.2", bias=False).build()
    trainer = pl.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt", module


def test_a_lightning_checkpoint_reopens_as_it_was_configured(
    checkpoint: Any,
) -> None:
    file, module = checkpoint

    again: Any = Lit.load_from_checkpoint(file)

    assert isinstance(again.layer[1], nn.Tanh)
    assert again.layer[2].bias is None
    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_nothing_in_the_checkpoint_is_pickled(checkpoint: Any) -> None:
    file, _ = checkpoint

    told = torch.load(file, weights_only=True)["hyper_parameters"]

    assert set(told) == {"width", "burnish_blueprint"}


def test_loading_as_another_class_is_an_error(checkpoint: Any) -> None:
    file, _ = checkpoint

    with pytest.raises(FormatError, match="blueprint of 'Lit', not of Unrelated"):
        Unrelated.load_from_checkpoint(file)


def test_a_checkpoint_without_a_blueprint_is_left_to_lightning(tmp_path: Path) -> None:
    trainer = pl.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    module = Unrelated()
    trainer.fit(module)
    trainer.save_checkpoint(tmp_path / "y.ckpt")

    again = Unrelated.load_from_checkpoint(tmp_path / "y.ckpt")

    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


class Undecorated(BoringModel):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        layers = [nn.Linear(32, width), nn.ReLU(), nn.Linear(width, 2)]
        whole: Any = nn.Sequential(*layers)
        self.layer = whole


def saved(module: Any, folder: Path, *callbacks: Any) -> Path:
    """Return the checkpoint that a short training of ``module`` writes."""
    trainer = pl.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        default_root_dir=folder,
    )
    trainer.fit(module)
    file = folder / ("run" if callbacks else "run.ckpt")
    trainer.save_checkpoint(file)
    return file


@pytest.mark.parametrize("is_record", [True, False])
@pytest.mark.parametrize("cls", [Lit, Undecorated])
def test_load_lightning_builds_what_the_blueprint_built(
    cls: Any, is_record: bool, tmp_path: Path
) -> None:
    callbacks = [RecordCheckpoint(tmp_path / "best")] if is_record else []
    module = Blueprint(cls, width=6).configure("layer.1", nn.Tanh).build()
    file = saved(module, tmp_path, *callbacks)

    again: Any = load_lightning(cls, file)

    assert isinstance(again.layer[1], nn.Tanh)
    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


@pytest.mark.parametrize("is_record", [True, False])
def test_a_model_reopens_as_its_blueprint_built_it(
    is_record: bool, tmp_path: Path
) -> None:
    callbacks = [RecordCheckpoint(tmp_path / "best")] if is_record else []
    module: Any = Blueprint(Trained, {}).configure("layer.1", nn.Tanh).build()
    file = saved(module, tmp_path, *callbacks)

    again = Trained.load_from_checkpoint(file)

    assert isinstance(again.layer[1], nn.Tanh)


class Trained(Model[ModelHparams]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        layers = [nn.Linear(32, 4), nn.ReLU(), nn.Linear(4, 2)]
        self.layer = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(x)
        return result

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss: torch.Tensor = self(batch).square().mean()
        return loss

    def train_dataloader(self) -> Any:
        data: Any = torch.randn(4, 32)
        return torch.utils.data.DataLoader(data, batch_size=2)

    def configure_callbacks(self) -> Any:
        return []


def test_a_run_does_not_go_on_with_another_module_than_was_saved(
    tmp_path: Path,
) -> None:
    cls: Any = Lit
    callback = RecordCheckpoint(tmp_path / "best")
    module = cls.blueprint(width=6).configure("layer.1", nn.Tanh).build()
    file = saved(module, tmp_path, callback)
    trainer = pl.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        callbacks=[RecordCheckpoint(tmp_path / "more")],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )

    with pytest.raises(RecordMismatchError, match=r"layer\.1: stored Tanh.* ReLU"):
        trainer.fit(Lit(6), ckpt_path=str(file))


def test_a_decorated_model_that_saves_no_hyperparameters_comes_back_with_them(
    tmp_path: Path,
) -> None:
    @burnish.module
    class Silent(BoringModel):
        def __init__(self, width: int = 2) -> None:
            super().__init__()
            self.extra = nn.Linear(width, 2)

    file = saved(Silent(5), tmp_path, RecordCheckpoint(tmp_path / "best"))

    again: Any = load_lightning(Silent, file)

    assert again.extra.in_features == 5


def test_records_functions_read_a_lightning_checkpoint_as_what_it_is_of(
    checkpoint: Any,
) -> None:
    file, module = checkpoint
    cls: Any = Lit

    built = cls.from_record(file)

    assert isinstance(built.layer[1], nn.Tanh)
    burnish.load_record(module, file)
    with pytest.raises(RecordMismatchError, match=r"layer\.1: stored Tanh.* ReLU"):
        burnish.from_record(
            lambda: cls.blueprint(width=6).configure("layer.2", bias=False).build(),
            file,
        )
