"""Initializers are played in order."""

import pytest
import torch
from torch import nn

from burnish.core import skip_init

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def test_steps_on_slices_and_views_are_played_in_order() -> None:
    with skip_init(), torch.no_grad():
        weight = nn.Parameter(torch.empty(2, 3))
        weight.fill_(1.0)
        weight[0] = 5.0
        weight.data[:, 1].mul_(2.0)
        weight.view(-1)[-1:].zero_()

        assert weight.tolist() == [[5.0, 10.0, 5.0], [1.0, 2.0, 0.0]]


def test_values_that_were_there_already_take_part() -> None:
    with skip_init(), torch.no_grad():
        weight = nn.Parameter(torch.ones(3))
        weight.mul_(3.0)

        assert weight.sum().item() == 9.0
