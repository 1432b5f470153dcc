"""Models configure steps, optimizers and schedules by their names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import Lion, OptimizerAdaptor
from burnish.train import (
    Model,
    ModelHparams,
    SchedulerHparams,
)

from .models import SHORT_RUNS, Net, data, trainer

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


def test_steps_return_a_loss_with_grad_and_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, logged = Net({}), dict[str, bool]()
    batch = (torch.randn(4, 10), torch.randn(4, 2))

    def log(name: str, value: Tensor, prog_bar: bool, sync_dist: bool) -> None:
        assert not sync_dist  # one process has nobody to agree with
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


@pytest.mark.parametrize("found", [None, {}, {"los": torch.tensor(1.0)}])
def test_metrics_without_a_loss_are_an_error(found: Any) -> None:
    class Bad(Net):
        def compute_metrics(self, outputs: Tensor, targets: Tensor) -> Any:
            return found

    batch = (torch.randn(4, 10), torch.randn(4, 2))
    with pytest.raises(ValueError, match="dict with 'loss'"):
        Bad({}).training_step(batch, 0)


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


def test_parameters_are_counted() -> None:
    model = Net({})

    assert model.num_params == 22
    assert model.num_params_by_module == {"total": 22, "layer": 22, "dropout": 0}


def test_parameters_are_counted_down_to_a_depth() -> None:
    class Deep(Net):
        def __init__(self, hparams: Any) -> None:
            super().__init__(hparams)
            self.deep = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1)))

    model = Deep({})

    counts = model.num_params_by_depth()
    assert counts["total"] == 31
    assert (counts["deep"], counts["deep.0"], counts["deep.1.0"]) == (9, 6, 3)
    assert "deep.1.0" not in model.num_params_by_depth(2)
    assert "deep.1" in model.num_params_by_depth(2)
    assert model.num_params_by_depth(1) == model.num_params_by_module
    assert model.num_params_by_depth(0) == {"total": 31}


def test_a_model_without_metrics_is_refused_when_it_is_made() -> None:
    class Without(Model[ModelHparams]):
        def compute_metric(self) -> None:
            pass

    class OwnSteps(Model[ModelHparams]):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return torch.zeros(())

    with pytest.raises(TypeError, match=r"Without does not define compute_metrics.*'l"):
        Without({})
    with pytest.raises(TypeError, match="Did you mean 'compute_metric'"):
        Without({})
    OwnSteps({})


def test_plateau_schedulers_look_at_their_metric(tmp_path: Path) -> None:
    schedule = SchedulerHparams(
        module_name="ReduceLROnPlateau",
        kwargs={"patience": 0, "threshold": 1e9},
        monitor="validation/loss",
    )
    run = trainer(tmp_path, 3)

    run.fit(Net({"scheduler": schedule.to_dict()}), datamodule=data())

    assert run.optimizers[0].param_groups[0]["lr"] < 1e-3
