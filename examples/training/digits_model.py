"""Handwritten digits (scikit-learn's), and a small network that reads them."""

from itertools import pairwise
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from burnish.config import Hparam
from burnish.train import DataHparams, DataModule, Model, ModelHparams


class DigitsHparams(ModelHparams):
    """How wide and how deep the network is."""

    width: int = Hparam(default=64, ge=1)
    depth: int = Hparam(default=2, ge=1)
    dropout: float = Hparam(default=0.2, ge=0.0, lt=1.0)


class Digits(Model[DigitsHparams]):
    """Layers of one width, with dropout between them."""

    def __init__(self, hparams: DigitsHparams | dict[str, Any]) -> None:
        super().__init__(hparams)
        h = self.thparams
        sizes = [64, *[h.width] * h.depth]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(h.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(h.width, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Return a score for each of ten digits."""
        scores: Tensor = self.layers(x)
        return scores

    def compute_metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, and the share of digits that were read right."""
        return {
            "loss": nn.functional.cross_entropy(outputs, targets),
            "accuracy": (outputs.argmax(1) == targets).float().mean(),
        }


class DigitsData(DataModule[DataHparams]):
    """1,797 pictures of 8 x 8 gray values."""

    def get_dataset(self) -> Dataset[Any]:
        """Return pictures with values from 0 to 1, and the digits on them."""
        digits: Any = load_digits()
        pictures = torch.tensor(digits.data / 16.0, dtype=torch.float32)
        return TensorDataset(pictures, torch.tensor(digits.target))
