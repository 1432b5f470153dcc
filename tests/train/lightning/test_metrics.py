"""Metrics without a loss are told."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from .models import Net

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


@pytest.mark.parametrize("found", [None, {}, {"los": torch.tensor(1.0)}])
def test_metrics_without_a_loss_are_an_error(found: Any) -> None:
    class Bad(Net):
        def compute_metrics(self, outputs: Tensor, targets: Tensor) -> Any:
            return found

    batch = (torch.randn(4, 10), torch.randn(4, 2))
    with pytest.raises(ValueError, match="dict with 'loss'"):
        Bad({}).training_step(batch, 0)
