"""Generators stand where they stood."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import burnish
from burnish.core import from_record


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_a_record_of_everything_draws_no_random_numbers() -> None:
    data = burnish.save_record(nn.Linear(3, 3))
    assert data is not None
    before = torch.get_rng_state()

    from_record(lambda: nn.Linear(3, 3), data)

    assert torch.equal(torch.get_rng_state(), before)
