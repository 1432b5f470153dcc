"""Metrics without a loss are told."""

from typing import Any

import pytest
import torch
from torch import Tensor

from .models import SHORT_RUNS, Net

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


@pytest.mark.parametrize("found", [None, {}, {"los": torch.tensor(1.0)}])
def test_metrics_without_a_loss_are_an_error(found: Any) -> None:
    class Bad(Net):
        def compute_metrics(self, outputs: Tensor, targets: Tensor) -> Any:
            return found

    batch = (torch.randn(4, 10), torch.randn(4, 2))
    with pytest.raises(ValueError, match="dict with 'loss'"):
        Bad({}).training_step(batch, 0)
