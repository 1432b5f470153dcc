"""The callback keeps the best and the last, named after what was logged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.optim import AdamW
from burnish.records import RecordMismatchError
from burnish.train import (
    CheckpointHparams,
    RecordCheckpoint,
    load_lightning,
)

from .models import SHORT_RUNS, Net, Plain, data, trainer

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


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


class Judged(Plain):
    """A module with a class among its hyperparameters."""

    def __init__(self, loss: type[nn.Module]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.n_steps = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.n_steps += 1
        return super().training_step(batch, batch_idx)


def test_hyperparameters_that_no_record_holds_are_named_before_the_first_step(
    tmp_path: Path,
) -> None:
    model = Judged(nn.MSELoss)
    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)
    run = trainer(tmp_path, 1, callbacks=[RecordCheckpoint(tmp_path)])

    with pytest.raises(
        TypeError, match=r"of Judged: loss: a \S+type is not .*ignore=\['loss'\]"
    ):
        run.fit(model, loader)
    assert model.n_steps == 0


def test_hyperparameters_that_a_hook_replaces_are_left_to_the_save(
    tmp_path: Path,
) -> None:
    class Replacing(Judged):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["hyper_parameters"] = {"loss": "MSELoss"}

    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)
    run = trainer(tmp_path, 1, callbacks=[RecordCheckpoint(tmp_path)])

    run.fit(Replacing(nn.MSELoss), loader)

    assert run.state.finished


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


def test_checkpoints_of_any_monitor_can_be_configured() -> None:
    callback = Net({"checkpoint": CheckpointHparams(monitor="a/b").to_dict()})

    (made,) = callback.configure_callbacks()

    assert isinstance(made, RecordCheckpoint)
    assert made.filename == "epoch={epoch}-a_b={a/b:.4f}"


def test_a_strategy_that_would_write_pickles_by_itself_is_refused(
    tmp_path: Path,
) -> None:
    from lightning.pytorch.strategies import FSDPStrategy

    run = trainer(tmp_path, 1)
    callback = RecordCheckpoint()
    run._accelerator_connector.strategy = FSDPStrategy(state_dict_type="sharded")  # type: ignore[attr-defined]  # of the trainer

    with pytest.raises(ValueError, match=r"state_dict_type='full'\): the first"):
        callback.setup(run, Net({}), "fit")
    run._accelerator_connector.strategy = FSDPStrategy()  # type: ignore[attr-defined]  # of the trainer
    callback.setup(run, Net({}), "fit")


class Ordered(LightningModule):
    """Makes two layers of one shape in an order, and notes what is kept of each."""

    def __init__(self, names: str, optimizer: Any, *, spared: str = "") -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(4, 4, bias=False))
        self.optimizer, self.spared = optimizer, spared
        self.at_start: dict[str, Tensor] = {}
        self.at_end: dict[str, Tensor] = {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        a, b = (self.get_submodule(name)(batch[0]) for name in "ab")
        loss: Tensor = (a + 3 * b).square().mean()
        return loss

    def configure_optimizers(self) -> Any:
        params = dict(self.named_parameters())
        apart = [params.pop(self.spared)] if self.spared else []
        groups = [{"params": [*params.values()]}, {"params": apart}]
        return self.optimizer(groups[: 1 + bool(apart)], self)

    def on_train_start(self) -> None:
        self.at_start = self._moments()

    def on_train_end(self) -> None:
        self.at_end = self._moments()

    def _moments(self) -> dict[str, Tensor]:
        state = self.trainer.optimizers[0].state
        return {
            name: state[p]["exp_avg"].clone()
            for name, p in self.named_parameters()
            if state.get(p)
        }


def fitted(net: Ordered, folder: Path, n_epochs: int, last: str | None = None) -> str:
    """Train, and return the last checkpoint."""
    keep = RecordCheckpoint(folder, save_last=True)
    loader = DataLoader(TensorDataset(torch.ones(8, 4)), batch_size=4)
    trainer(folder, n_epochs, callbacks=[keep]).fit(net, loader, ckpt_path=last)
    return keep.last_model_path


def of_torch(groups: Any, net: nn.Module) -> Any:
    return torch.optim.Adam(groups)


def of_ours(groups: Any, net: nn.Module) -> Any:
    return AdamW().bind(net, lr=1e-3)


@pytest.mark.parametrize("optimizer", [of_torch, of_ours])
def test_states_follow_their_names_where_layers_are_made_in_another_order(
    optimizer: Any, tmp_path: Path
) -> None:
    old, new = Ordered("ab", optimizer), Ordered("ba", optimizer)
    last = fitted(old, tmp_path, 1)

    fitted(new, tmp_path, 2, last)

    assert {*new.at_start} == {"a.weight", "b.weight"}
    for name, moment in new.at_start.items():
        assert torch.equal(moment, old.at_end[name])
    assert not torch.equal(old.at_end["a.weight"], old.at_end["b.weight"])


def test_a_state_for_another_parameter_is_refused_before_training(
    tmp_path: Path,
) -> None:
    last = fitted(Ordered("ab", of_torch, spared="a.weight"), tmp_path, 1)

    with pytest.raises(RecordMismatchError, match="configure_optimizers"):
        fitted(Ordered("ab", of_torch, spared="b.weight"), tmp_path, 2, last)


@pytest.mark.parametrize("save_last", [True, "link"])
def test_a_run_that_goes_on_from_its_first_checkpoint_replaces_the_last_one(
    tmp_path: Path, save_last: Any
) -> None:
    def fit(n_epochs: int, **options: Any) -> None:
        saver = RecordCheckpoint(
            tmp_path, save_top_k=-1, save_last=save_last, every_n_epochs=1
        )
        run = trainer(tmp_path, n_epochs, callbacks=[saver])
        loader = DataLoader(TensorDataset(torch.randn(4, 10)))
        run.fit(Plain(), loader, **options)

    fit(1)
    [first] = tmp_path.glob("epoch=0-*")

    fit(2, ckpt_path=str(first))

    assert [*map(str, tmp_path.glob("last*"))] == [str(tmp_path / "last")]
