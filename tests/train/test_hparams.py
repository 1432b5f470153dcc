"""What a run is configured with when nothing is said."""

import pytest
import torch

from burnish.train import (
    EarlyStoppingHparams,
    ModelHparams,
    OptimizerHparams,
)

from .lightning.models import SHORT_RUNS, Data

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


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


def test_a_drawn_seed_can_be_read_and_used_again() -> None:
    drawn = [Data({}).thparams.seed for _ in range(10)]
    made = Data({})
    again = Data(made.thparams.to_dict())

    assert len({*drawn}) > 1
    assert again.train.indices == made.train.indices
    assert made.train_loader is None
    with pytest.raises(ValueError, match="has no loader"):
        made.train_dataloader()
