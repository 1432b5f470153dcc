"""A loader goes on in the middle of an epoch, to the sample."""

import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from burnish.train import Checkpoints
from burnish.train.resumable_loader import ResumableLoader, ResumableSampler


def loader(**options: Any) -> Any:
    return ResumableLoader(range(10), batch_size=2, shuffle=True, seed=3, **options)  # type: ignore[arg-type]  # a range is a dataset


def sampler() -> Any:
    return ResumableSampler(10, seed=3)


def drawn(place: Any) -> list[Any]:
    return [x.tolist() if isinstance(x, torch.Tensor) else x for x in place]


@pytest.mark.parametrize("make", [loader, sampler])
def test_a_loop_that_is_left_goes_on_with_the_next_epoch_when_resumed(
    make: Any,
) -> None:
    whole, again = make(), make()
    for _ in whole:
        break

    again.load_state_dict(whole.state_dict())

    assert drawn(again) == drawn(whole)
    assert again.state_dict() == whole.state_dict()


@pytest.mark.parametrize("make", [loader, sampler])
def test_a_state_within_a_loop_goes_on_with_the_rest(make: Any) -> None:
    whole, again = make(), make()
    rest: list[Any] = []
    for i, item in enumerate(whole):
        if i == 1:
            again.load_state_dict(whole.state_dict())
        if i > 1:
            rest.append(item)

    assert [len(drawn(again)), again.state_dict()] == [len(rest), whole.state_dict()]


@pytest.mark.parametrize("make", [loader, sampler])
def test_a_loop_that_is_left_late_moves_no_other_loop(make: Any) -> None:
    place = make()
    first = iter(place)
    next(first)
    second = iter(place)
    next(second)

    first.close()

    assert place.state_dict()["epoch"] == 1
    assert place.state_dict()["position"] > 0


@pytest.mark.parametrize("make", [loader, sampler])
def test_an_iteration_that_another_took_over_from_counts_no_longer(make: Any) -> None:
    place, again = make(), make()
    first = iter(place)
    next(first)
    second = iter(place)
    next(second)
    next(first)

    again.load_state_dict(place.state_dict())

    assert drawn(again) == drawn(second)


def test_a_loader_goes_to_a_process_that_is_spawned() -> None:
    first = loader(num_workers=1)

    data = ForkingPickler.dumps(first)

    assert not any(
        isinstance(v, torch.Generator) for v in first.__getstate__().values()
    )
    assert drawn(pickle.loads(data)) == drawn(first)


torch.set_num_threads(1)


def batches(loader: ResumableLoader[tuple[torch.Tensor, ...]]) -> list[list[float]]:
    return [batch[0].tolist() for batch in loader]


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(
    n_workers: int, tmp_path: Path
) -> None:
    data = TensorDataset(torch.arange(11.0))

    def loader() -> ResumableLoader[tuple[torch.Tensor, ...]]:
        return ResumableLoader(data, 3, shuffle=True, seed=1, num_workers=n_workers)

    whole = loader()
    first, second = batches(whole), batches(whole)
    stopped = loader()
    for i, _ in enumerate(stopped):
        if i == 1:
            Checkpoints(tmp_path).save(1, loader=stopped)
            break
    resumed = loader()
    Checkpoints(tmp_path).restore(loader=resumed)

    assert batches(resumed) == first[2:]
    assert batches(resumed) == second
    assert first != second
    assert sorted(x for batch in first for x in batch) == list(range(11))


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_loader_says_which_epoch_and_batch_come_next(n_workers: int) -> None:
    first, again = (loader(num_workers=n_workers) for _ in "ab")

    places = [(first.epoch, first.next_batch)]
    for epoch in range(2):
        for i, _ in enumerate(first, first.next_batch):
            places.append((first.epoch, first.next_batch))
            if (epoch, i) == (1, 2):
                again.load_state_dict(first.state_dict())
    after = [i for i, _ in enumerate(again, again.next_batch)]

    assert places == [(0, 0), *((e, i) for e in range(2) for i in range(1, 6))]
    assert (first.epoch, first.next_batch) == (again.epoch, again.next_batch) == (2, 0)
    assert after == [3, 4]


def test_the_last_batch_of_an_epoch_counts_though_it_is_smaller() -> None:
    odd = ResumableLoader(TensorDataset(torch.ones(5)), batch_size=2)

    assert [odd.next_batch for _ in odd] == [1, 2, 3]


def test_a_state_between_epochs_begins_the_next_one() -> None:
    sampler = ResumableSampler(5)
    first, resumed = [*sampler], ResumableSampler(5)

    resumed.load_state_dict(sampler.state_dict())

    second = [*sampler]
    assert [*resumed] == second
    assert first != second


def test_an_epoch_that_was_left_is_not_continued_by_itself() -> None:
    sampler = ResumableSampler(5, shuffle=False)
    assert next(iter(sampler)) == 0

    assert [*sampler] == [0, 1, 2, 3, 4]
    assert sampler.epoch == 2


def test_each_process_draws_its_share() -> None:
    shares = [[*ResumableSampler(7, rank=r, n_ranks=3)] for r in range(3)]

    assert {len(share) for share in shares} == {3}
    assert {i for share in shares for i in share} == set(range(7))


def test_each_process_reads_its_share_of_batches() -> None:
    data = TensorDataset(torch.arange(8.0))
    readers = [ResumableLoader(data, 2, rank=r, n_ranks=2) for r in range(2)]

    assert [drawn(x for [x] in reader) for reader in readers] == [
        [[0.0, 2.0], [4.0, 6.0]],
        [[1.0, 3.0], [5.0, 7.0]],
    ]


@pytest.mark.parametrize("n_now", [1, 2, 4])
def test_another_number_of_processes_goes_on_with_what_is_left(n_now: int) -> None:
    first = ResumableSampler(12, seed=3, rank=1, n_ranks=2)
    order = ResumableSampler(12, seed=3).order()
    reading = iter(first)
    for _ in range(4):
        next(reading)
    samplers = [
        ResumableSampler(12, seed=3, rank=r, n_ranks=n_now) for r in range(n_now)
    ]

    for sampler in samplers:
        sampler.load_state_dict(first.state_dict())

    assert {i for sampler in samplers for i in sampler} == {*order[8:]}


def test_other_data_is_refused() -> None:
    state = ResumableSampler(5).state_dict()

    with pytest.raises(ValueError, match="5 samples, but there are 6 now"):
        ResumableSampler(6).load_state_dict(state)


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_rest_of_an_epoch_in_another_order_is_refused(shuffle: bool) -> None:
    sampler = ResumableSampler(5, shuffle=shuffle)
    other = ResumableSampler(5, shuffle=not shuffle)
    drawing = iter(sampler)
    next(drawing)

    with pytest.raises(ValueError, match=f"epoch with shuffle={shuffle}"):
        other.load_state_dict(sampler.state_dict())
    assert sorted(other) == [0, 1, 2, 3, 4]

    sampler.end()
    other.load_state_dict(sampler.state_dict())
    assert other.epoch == 1


def test_a_dataset_without_numbered_samples_is_refused() -> None:
    class Stream(IterableDataset[int]):
        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Any:
            return iter(range(3))

    with pytest.raises(TypeError, match="a Stream cannot be indexed"):
        ResumableLoader(Stream())


def test_a_loader_draws_nothing_of_the_common_generator() -> None:
    loader = ResumableLoader(TensorDataset(torch.arange(4.0)), 2, shuffle=True)
    before = torch.get_rng_state()

    batches(loader)

    assert torch.equal(torch.get_rng_state(), before)


def test_lengths_are_those_of_whole_epochs() -> None:
    data = TensorDataset(torch.arange(7.0))

    assert len(ResumableLoader(data, 3)) == len(batches(ResumableLoader(data, 3))) == 3
    dropping = ResumableLoader(data, 3, drop_last=True)
    assert len(dropping) == len(batches(dropping)) == 2


@pytest.mark.parametrize("n_workers", [0, 1])
def test_data_that_grows_is_met_by_the_next_epoch(n_workers: int) -> None:
    data: Any = [0, 1, 2, 3]
    loader: Any = ResumableLoader(data, 2, num_workers=n_workers)
    first = iter(loader)
    seen = next(first).tolist()

    data += [4, 5]
    length = len(loader)
    seen += [x for batch in first for x in batch.tolist()]

    assert (seen, length) == ([0, 1, 2, 3], 2)
    assert len(loader) == 3
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"sampler": [1, 2]}, "ResumableSampler"),
        ({"batch_sampler": [[1], [2]]}, "batch_size"),
        ({"generator": torch.Generator()}, "seed="),
    ],
)
def test_an_order_of_the_users_is_refused_with_what_to_do(
    options: Any, cure: str
) -> None:
    with pytest.raises(
        TypeError, match=f"it sets the order of its samples itself.*{cure}"
    ):
        ResumableLoader(TensorDataset(torch.arange(4.0)), **options)


def test_a_loader_of_a_loader_is_refused_with_the_call_that_is_meant() -> None:
    """It was taken for a data set, and failed at the first batch."""
    inner: Any = DataLoader(TensorDataset(torch.ones(4)))

    with pytest.raises(TypeError, match=r"ResumableLoader\(loader\.dataset"):
        ResumableLoader(inner)


def test_a_loader_and_a_sampler_show_where_they_stand() -> None:
    loader = ResumableLoader(TensorDataset(torch.ones(4)), batch_size=2)
    reading = iter(loader)
    next(reading)

    assert repr(loader) == "ResumableLoader(epoch 0, batch 1 of 2)"
    assert repr(ResumableSampler(4)) == "ResumableSampler(epoch 0, 0 of 4)"


def test_a_loader_with_a_generator_leaves_that_of_dropout_to_a_run_that_goes_on() -> (
    None
):
    def loader_over(sampler: ResumableSampler) -> DataLoader[Any]:
        generator = torch.Generator()
        data: Any = range(8)
        return DataLoader(data, 2, sampler=sampler, generator=generator)

    first, resumed = ResumableSampler(8), ResumableSampler(8)
    torch.manual_seed(0)
    reading = iter(loader_over(first))
    next(reading)
    place, generator = first.state_dict(), torch.get_rng_state()
    rest = [(batch.tolist(), float(torch.rand(()))) for batch in reading]

    resumed.load_state_dict(place)
    torch.set_rng_state(generator)

    again = loader_over(resumed)
    assert [(batch.tolist(), float(torch.rand(()))) for batch in again] == rest


def test_a_seed_and_a_number_of_ranks_are_whole_numbers() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="seed must be an int, got None"):
        ResumableSampler(4, seed=nothing)
    with pytest.raises(ValueError, match="n_ranks must be at least 1, got None"):
        ResumableSampler(4, n_ranks=nothing)


@pytest.mark.parametrize("shuffle", [1, np.bool_(True)])
def test_numbers_of_numpy_and_flags_as_numbers_draw_as_plain_ones(shuffle: Any) -> None:
    seed: Any = np.int64(3)
    sampler = ResumableSampler(10, shuffle=shuffle, seed=seed)
    plain = ResumableSampler(10, shuffle=True, seed=3)
    assert list(sampler) == list(plain)
    state, state_of_plain = sampler.state_dict(), plain.state_dict()
    assert [*map(type, state.values())] == [*map(type, state_of_plain.values())]
    assert state == state_of_plain
    in_order = ResumableSampler(4, shuffle=type(shuffle)(0), seed=seed)
    assert list(in_order) == [0, 1, 2, 3]
