"""The tensors of a record that is opened."""

import torch

TENSORS = {
    "encoder.0.weight": torch.arange(12.0).reshape(3, 4),
    "encoder.0.bias": torch.ones(3),
    "head.weight": torch.full((2, 2), 7.0),
    "steps": torch.tensor(5),
}
