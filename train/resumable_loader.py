"""Shuffled batches that resume in the middle of an epoch, exact to the sample."""

import operator
from collections.abc import Callable, Generator, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Sampler,
)

from ..config.arguments import check_count, check_flag
from ..config.short_text import quantity, with_article

T = TypeVar("T", covariant=True)


class ResumableSampler(Sampler[int]):
    """Draws every index once per epoch, in an order determined by seed and epoch.

    Its state has the number of drawn indices, so that a restored sampler draws the
    rest. It takes nothing from torch's own generator; a ``DataLoader`` does whenever a
    loop over it begins, and a run resumed in mid-epoch begins one more loop. Give that
    loader ``generator=torch.Generator()``. With ``rank`` and ``n_ranks`` each process
    draws its share, all of equal length. With workers, which draw ahead, use
    `ResumableLoader`.
    """

    def __init__(
        self,
        data: Sized | int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
    ) -> None:
        if shuffle in (0, 1):  # also a number or NumPy's bool, as for a DataLoader
            shuffle = bool(shuffle)
        check_flag("shuffle", shuffle, may_be_none=True)
        check_count("n_ranks", n_ranks)
        try:
            seed = operator.index(seed)  # also of NumPy's ints
        except TypeError:
            raise TypeError(f"seed must be an int, got {seed!r:.60}") from None
        if not 0 <= rank < n_ranks:
            raise ValueError(f"rank must be from 0 to {n_ranks - 1}, got {rank}")
        self._data = data
        self._n_of_epoch = 0
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.n_ranks = rank, n_ranks
        self.epoch = 0
        """The epoch that is being drawn, or that is next."""
        self.position = 0
        """The number of indices of this epoch drawn by this process."""
        self._is_restored = False
        self._reading: object = None
        """The iteration over this epoch, which another one may replace."""

    @property
    def n_samples(self) -> int:
        """The number of samples of this epoch; new data counts from the next one on."""
        if self.position or self._reading is not None:
            return self._n_of_epoch
        return self._data if isinstance(self._data, int) else len(self._data)

    def order(self) -> list[int]:
        """Return all indices of this epoch that this process draws, in order."""
        indices = torch.arange(self.n_samples)
        if self.shuffle:
            generator = torch.Generator().manual_seed(_mix_seed(self.seed, self.epoch))
            indices = torch.randperm(self.n_samples, generator=generator)
        if self.n_ranks > 1 and self.n_samples:
            n_each = -(-self.n_samples // self.n_ranks)
            places = torch.arange(self.rank, n_each * self.n_ranks, self.n_ranks)
            indices = indices[places % self.n_samples]
        return [int(index) for index in indices.tolist()]

    def begin(self) -> None:
        """Advance to the next epoch if this one was left, unless it was restored."""
        if self.position and not self._is_restored:
            self.epoch, self.position = self.epoch + 1, 0
        self._is_restored, self._reading = False, None
        self._n_of_epoch = self.n_samples

    @contextmanager
    def reading(self) -> Generator[Callable[[int], None]]:
        """Yield a counter of drawn samples; advance to the next epoch at the end.

        That is when the iteration ends, or is left: another loop in this process would
        also begin the next one, so that a state saved between the two is the same. An
        iteration no longer counts once another one, or a loaded state, has replaced it.
        """
        self.begin()
        self._reading = mine = object()

        def count(n_samples: int) -> None:
            if self._reading is mine:
                self.position = min(self.position + n_samples, len(self))

        try:
            yield count
        finally:
            if self._reading is mine:
                self.end()

    def end(self) -> None:
        """Advance to the next epoch."""
        self.epoch, self.position, self._reading = self.epoch + 1, 0, None

    def state_dict(self) -> dict[str, Any]:
        """Return the sampler's position, as plain data."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "n_samples": self.n_samples,
            "n_ranks": self.n_ranks,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a stored position. ValueError if that had another order.

        That is from other data, or in the middle of an epoch that was shuffled where
        this one is not: some samples would be drawn twice. With another number of
        processes the order is the same; up to one sample for each is drawn twice if the
        drawn ones cannot be divided evenly.
        """
        n_stored, n_samples = state_dict["n_samples"], self._data
        n_samples = n_samples if isinstance(n_samples, int) else len(n_samples)
        if n_stored != n_samples:
            raise ValueError(
                f"the sampler was saved with {quantity(n_stored, 'sample')}, but there "
                f"are {n_samples} now; restore without it to start a new epoch"
            )
        was_shuffled = state_dict.get("shuffle", self.shuffle)
        if state_dict["position"] and was_shuffled != self.shuffle:
            raise ValueError(
                f"the sampler was saved in an epoch with shuffle={was_shuffled}, "
                f"but shuffle={self.shuffle} would draw some of its samples "
                f"twice; pass shuffle={was_shuffled}, or restore without it to "
                "start a new epoch"
            )
        self._n_of_epoch = n_samples
        n_drawn = state_dict["position"] * state_dict.get("n_ranks", self.n_ranks)
        self.epoch, self.position = state_dict["epoch"], n_drawn // self.n_ranks
        self.seed = state_dict["seed"]
        self._is_restored, self._reading = True, None

    def __iter__(self) -> Iterator[int]:
        with self.reading() as count:
            for index in self.order()[self.position :]:
                count(1)
                yield index

    def __len__(self) -> int:
        return -(-self.n_samples // self.n_ranks)

    def __repr__(self) -> str:
        return f"ResumableSampler(epoch {self.epoch}, {self.position} of {len(self)})"


class ResumableLoader(DataLoader[T]):
    """A DataLoader whose state is the number of batches returned, even with workers.

    With ``rank`` and ``n_ranks`` each process reads its share, all of equal length;
    ``batch_size`` is that of one process. Its workers are seeded again in each epoch
    and when restored; random augmentations that they draw themselves are not resumed in
    the middle of an epoch, and those of ``persistent_workers``, which are seeded once,
    not between two epochs either.
    """

    def __init__(
        self,
        dataset: Dataset[T],
        batch_size: int = 1,
        *,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
        **options: Any,
    ) -> None:
        for name, cure in _OF_ITS_OWN.items():
            if options.get(name) is not None:
                raise TypeError(
                    f"ResumableLoader({name}=...): it sets the order of its "
                    f"samples itself, so that it can resume; {cure}"
                )
        if isinstance(dataset, DataLoader):
            raise TypeError(
                "ResumableLoader takes the data set, not a DataLoader of it: "
                "ResumableLoader(loader.dataset, batch_size=..., shuffle=...)"
            )
        self._place = ResumableSampler(
            _sized(dataset), shuffle=shuffle, seed=seed, rank=rank, n_ranks=n_ranks
        )
        # Draws of a loader's own generator do not affect torch's.
        options["generator"] = torch.Generator()
        super().__init__(dataset, batch_size, sampler=_Rest(self._place), **options)

    def __iter__(self) -> Any:
        place, size = self._place, self.batch_size or 1
        with place.reading() as count:
            generator: Any = self.generator
            generator.manual_seed(_mix_seed(place.seed, place.epoch) ^ 1)
            for batch in super().__iter__():
                count(size)
                yield batch

    def __getstate__(self) -> dict[str, Any]:
        # Torch cannot pass a generator to a spawned process, and this one is seeded
        # again by each epoch.
        return {k: v for k, v in vars(self).items() if k != "generator"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, generator=torch.Generator())

    @property
    def epoch(self) -> int:
        """The epoch that is being read, or that is next, counted from 0."""
        return self._place.epoch

    @property
    def next_batch(self) -> int:
        """The number of the next batch within its epoch."""
        return -(-self._place.position // (self.batch_size or 1))

    def __len__(self) -> int:
        n_samples, size = len(self._place), self.batch_size or 1
        return n_samples // size if self.drop_last else -(-n_samples // size)

    def __repr__(self) -> str:
        batch = f"batch {self.next_batch} of {len(self)}"
        return f"ResumableLoader(epoch {self.epoch}, {batch})"

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's position, as plain data."""
        return self._place.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a stored position. ValueError if the data or order differ."""
        self._place.load_state_dict(state_dict)


class _Rest(DistributedSampler[int]):
    """The rest of an epoch; reading ahead does not move the loader's position.

    By its class frameworks recognize that it draws the share of one process.
    """

    def __init__(self, place: ResumableSampler) -> None:
        super().__init__(_NO_DATA, num_replicas=place.n_ranks, rank=place.rank)
        self._place = place

    def __iter__(self) -> Iterator[int]:
        return iter(self._place.order()[self._place.position :])

    def __len__(self) -> int:
        return len(self._place)


_NO_DATA: Any = ()
"""A sampler's position with the number of samples."""


def _mix_seed(seed: int, epoch: int) -> int:
    """Return a seed for each epoch; those of neighboring epochs are unrelated."""
    return (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9) % (1 << 63)


_OF_ITS_OWN = {
    "sampler": "pass a ResumableSampler to your own DataLoader, or a Subset here",
    "batch_sampler": "pass batch_size, shuffle and drop_last",
    "generator": "shuffle with seed=",
}
"""Options of DataLoader that it does not support, and what to do instead."""


def _sized(dataset: object) -> Any:
    # A dataset that knows its length may still lack the requested samples.
    if not hasattr(dataset, "__len__") or isinstance(dataset, IterableDataset):
        raise TypeError(
            f"{with_article(type(dataset).__name__)} cannot be indexed, so the "
            "position in it cannot be saved; give the dataset __len__ and "
            "__getitem__"
        )
    return dataset
