"""Splits follow the seed; only training data are shuffled."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset

from burnish.train import DataHparams, DataModule

from .models import SHORT_RUNS, Data, Net, data, trainer

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


def test_a_resumed_run_has_the_split_of_the_seed_that_was_drawn() -> None:
    before, drawn = Data(), Data()
    chosen = data(seed=before.thparams.seed + 1)
    parts = [*chosen.train.indices]

    drawn.load_state_dict(before.state_dict())
    chosen.load_state_dict(before.state_dict())

    assert [*drawn.train.indices] == [*before.train.indices]
    assert [*drawn.val.indices] == [*before.val.indices]
    assert drawn.thparams.seed == before.thparams.seed
    assert [*chosen.train.indices] == parts


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


class Numbers(IterableDataset[Any]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(self.count):
            x = torch.randn(10, generator=generator)
            yield x, x[:2]


class Stream(DataModule[DataHparams]):
    def get_dataset(self) -> Any:
        return Numbers(40)


# Lightning notes that there is nothing to validate with.
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
def test_an_iterable_dataset_is_all_training_data_in_its_own_order(
    tmp_path: Path,
) -> None:
    stream = Stream({"loader": {"batch_size": 16}})
    run = trainer(tmp_path, 2, enable_checkpointing=False)

    run.fit(Net({"checkpoint": None}), datamodule=stream)

    assert run.global_step == 6
    assert [len(batch[0]) for batch in stream.train_loader] == [16, 16, 8]
    first, second = ([b[0].sum().item() for b in stream.train_loader] for _ in range(2))
    assert first == second
    assert stream.val_dataloader() == stream.test_dataloader() == []


def test_a_stream_that_is_to_be_shuffled_is_refused() -> None:
    stream = Stream({"loader": {"batch_size": 16, "shuffle": True}})

    with pytest.raises(ValueError, match="an order of its own"):
        stream.train_dataloader()
