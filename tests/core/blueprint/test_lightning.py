from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import nn

import burnish
from burnish.core.blueprint.errors import FormatError

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


def test_d24_a_lightning_checkpoint_reopens_as_it_was_configured(
    checkpoint: Any,
) -> None:
    file, module = checkpoint

    again: Any = Lit.load_from_checkpoint(file)

    assert isinstance(again.layer[1], nn.Tanh)
    assert again.layer[2].bias is None
    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_d24_nothing_in_the_checkpoint_is_pickled(checkpoint: Any) -> None:
    file, _ = checkpoint

    told = torch.load(file, weights_only=True)["hyper_parameters"]

    assert set(told) == {"width", "burnish_blueprint"}


def test_d24_loading_as_another_class_is_an_error(checkpoint: Any) -> None:
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
