"""Generators stand where they stood."""

import pytest
import torch
from torch import nn

import burnish
from burnish.core import from_record

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def test_a_record_of_everything_draws_no_random_numbers() -> None:
    data = burnish.save_record(nn.Linear(3, 3))
    assert data is not None
    before = torch.get_rng_state()

    from_record(lambda: nn.Linear(3, 3), data)

    assert torch.equal(torch.get_rng_state(), before)
