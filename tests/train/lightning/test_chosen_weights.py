"""Lightning runs of which a part is saved, and which go on with the rest."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import burnish
from burnish.config import RenameField
from burnish.records import RecordMismatchError
from burnish.train import RecordCheckpoint, load_lightning

from .models import SHORT_RUNS, Net, trainer

torch.set_num_threads(1)

pytestmark = SHORT_RUNS

HEAD = {"head.weight", "head.bias"}


class Tuned(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.base, self.head = nn.Linear(4, 4), nn.Linear(4, 1)
        with torch.no_grad():
            self.base.weight.fill_(3.0)  # as a base that is loaded
        burnish.freeze(self, "base.**")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.head(self.base(batch[0])).square().mean()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.head.parameters())


def fit(
    n_epochs: int,
    folder: Path,
    *callbacks: RecordCheckpoint,
    resume: str | None = None,
    **options: Any,
) -> tuple[Tuned, Any]:
    torch.manual_seed(0)
    model = Tuned()
    loader: Any = DataLoader(TensorDataset(torch.linspace(0, 1, 32).view(8, 4)), 4)
    run = trainer(folder, n_epochs, callbacks=[*callbacks], **options)
    run.fit(model, loader, ckpt_path=resume)
    return model, run


def paths_in(checkpoint: Any) -> set[str]:
    record = burnish.open_record(Path(checkpoint) / "model.mpk")
    return {entry.path for entry in record.entries()}


@pytest.mark.filterwarnings("ignore:.*are unchanged.*")
@pytest.mark.parametrize(
    "options",
    [
        {"only": burnish.trainable},
        {"exclude": {"model": "base.**"}, "unchanged": "link", "wait": False},
    ],
)
def test_a_run_that_saves_a_part_of_its_module_goes_on_to_the_same_bits(
    options: dict[str, Any], tmp_path: Path
) -> None:
    def callback(name: str) -> RecordCheckpoint:
        return RecordCheckpoint(tmp_path / name, save_last=True, **options)

    whole, _ = fit(3, tmp_path, callback("whole"))
    fit(1, tmp_path, callback("part"))

    resumed, _ = fit(3, tmp_path, callback("part"), resume="last")

    assert paths_in(tmp_path / "part/last") == HEAD
    for path, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[path], value), path


def test_what_was_left_out_is_told_when_a_run_goes_on_or_is_loaded(
    tmp_path: Path,
) -> None:
    fit(1, tmp_path, RecordCheckpoint(tmp_path, only="head.**", save_last=True))

    with pytest.warns(RuntimeWarning, match=r"model: .* without 2 tensors"):
        fit(2, tmp_path, RecordCheckpoint(tmp_path), resume=str(tmp_path / "last"))
    with pytest.raises(
        RecordMismatchError, match=r"(?s)base\.weight.*strict=False\) le"
    ):
        load_lightning(Tuned, tmp_path / "last")
    assert load_lightning(Tuned, tmp_path / "last", strict=False).base.weight[0, 0] == 3


def test_each_callback_has_its_choice_and_a_save_by_hand_is_whole(
    tmp_path: Path,
) -> None:
    part = RecordCheckpoint(tmp_path / "part", only="head.**", save_weights_only=True)
    whole = RecordCheckpoint(tmp_path / "whole", every_n_train_steps=1)

    model, run = fit(1, tmp_path, part, whole)
    run.save_checkpoint(tmp_path / "by_hand")

    assert paths_in(part.best_model_path) == HEAD
    everything = set(model.state_dict())
    assert paths_in(whole.best_model_path) == everything
    assert paths_in(tmp_path / "by_hand") == everything


def test_a_pattern_that_matches_nothing_ends_the_run_before_it_begins(
    tmp_path: Path,
) -> None:
    callback = RecordCheckpoint(tmp_path / "run", only="heads.**")

    with pytest.raises(ValueError, match=r"only='heads\.\*\*' matches nothing"):
        fit(1, tmp_path, callback)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"only": {"modle": "head.**"}}, ValueError, "Did you mean 'model'"),
        ({"exclude": 3}, TypeError, "a pattern must be a str or a predicate"),
    ],
)
def test_a_choice_that_is_none_is_refused_by_the_callback(
    options: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        RecordCheckpoint(**options)


def test_a_choice_beside_a_plugin_that_writes_no_records_is_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="AsyncCheckpointIO; remove that plugin"):
        fit(
            1,
            tmp_path,
            RecordCheckpoint(tmp_path, only="head.**"),
            plugins=[AsyncCheckpointIO()],
        )


def test_two_callbacks_that_want_the_writer_to_differ_are_refused(
    tmp_path: Path,
) -> None:
    behind = RecordCheckpoint(tmp_path, every_n_train_steps=1, wait=False)

    with pytest.raises(ValueError, match="wait=True and wait=False; one writer"):
        fit(1, tmp_path, RecordCheckpoint(tmp_path), behind)


def test_a_choice_can_be_configured() -> None:
    model = Net({"checkpoint": {"only": ["layer.**"], "unchanged": "link"}})

    (callback,) = model.configure_callbacks()

    assert isinstance(callback, RecordCheckpoint)


@burnish.module(name="test/tuned")
class OldTuned(Tuned):
    pass


@burnish.module(
    name="test/tuned",
    version=1,
    upgrade_rules={
        0: [RenameField("base", "stem.lin"), RenameField("head", "out")],
    },
)
class NewTuned(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.out, self.stem = nn.Linear(4, 1), nn.ModuleDict({"lin": nn.Linear(4, 4)})
        burnish.freeze(self, "stem.**")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.out(self.stem["lin"](batch[0])).square().mean()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam([self.out.bias, self.out.weight])


@pytest.mark.filterwarnings("ignore:.*are unchanged.*")
@pytest.mark.parametrize("options", [{}, {"only": burnish.trainable}])
def test_a_run_goes_on_after_a_refactor_that_rules_tell_of(
    options: Any, tmp_path: Path
) -> None:
    loader: Any = DataLoader(TensorDataset(torch.linspace(0, 1, 32).view(8, 4)), 4)
    old, new = OldTuned(), NewTuned()
    base = {f"stem.lin.{name}": value for name, value in old.base.state_dict().items()}
    new.load_state_dict(base, strict=False)
    keep = RecordCheckpoint(tmp_path, save_top_k=-1, **options)
    trainer(tmp_path, 1, callbacks=[keep]).fit(old, loader)
    whole, resumed = (
        trainer(tmp_path, 2, callbacks=[RecordCheckpoint(tmp_path, save_top_k=-1)])
        for _ in "ab"
    )
    saved = keep.best_model_path

    whole.fit(OldTuned() if not options else old, loader, ckpt_path=saved)
    resumed.fit(new, loader, ckpt_path=saved)

    expected: Any = whole.lightning_module
    assert resumed.global_step == 4
    assert torch.equal(new.out.weight, expected.head.weight)
    assert torch.equal(new.out.bias, expected.head.bias)
    assert torch.equal(new.stem["lin"].get_parameter("weight"), expected.base.weight)
