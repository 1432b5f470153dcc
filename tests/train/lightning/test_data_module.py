"""Splits follow the seed; only training data are shuffled."""

import pytest
import torch

from .models import SHORT_RUNS, Data, data

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


def test_splits_are_seeded_and_leave_the_common_generator_alone() -> None:
    def indices(made: Data) -> list[int]:
        return [*made.train.indices]

    before = torch.get_rng_state()
    first = data(seed=42, split=(0.7, 0.2, 0.1))

    assert torch.equal(torch.get_rng_state(), before)
    assert [len(p) for p in (first.train, first.val, first.test)] == [70, 20, 10]
    assert indices(first) == indices(data(seed=42, split=(0.7, 0.2, 0.1)))
    assert indices(first) != indices(data(seed=999, split=(0.7, 0.2, 0.1)))
    assert data(split=(0.8, 0.2)).test is None
    assert data(split=(0.8, 0.2)).test_loader is None
    with pytest.raises(ValueError, match="sum to 1"):
        data(split=(0.5, 0.3))


def test_only_training_data_are_shuffled() -> None:
    made = data(
        split=(0.8, 0.2), loader={"batch_size": 15, "shuffle": True, "drop_last": True}
    )

    first, second = ([b[0].sum().item() for b in made.train_loader] for _ in range(2))
    assert len(first) == 5
    assert first != second
    first, second = ([b[0].sum().item() for b in made.val_loader] for _ in range(2))
    assert first == second
    assert len(first) == 2
