"""DataModule: a dataset, its seeded split, and the loaders."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from ..hparams import DataHparams, DataLoaderHparams
from ..resumable_loader import ResumableLoader
from .typed_hparams import TypedHparams

SEED = "seed"
"""The field of `DataHparams`, and the key in checkpoints."""

H = TypeVar("H", bound=DataHparams)


class DataModule(TypedHparams, LightningDataModule, Generic[H]):
    """Base of data modules: define ``get_dataset``; `DataHparams` configures it.

    ``pre_init`` runs before it, for example to download. The split depends on the seed
    alone, and draws nothing from torch's global generator. An ``IterableDataset`` is
    all training data, in its own order, from the beginning in each epoch and after a
    resume.
    """

    hparams_schema = DataHparams

    def __init__(self, hparams: H | dict[str, Any] | None = None) -> None:
        super().__init__()
        values = {} if hparams is None else hparams
        self.thparams: H = self.check_hparams(values, "DataModule")
        """The typed hyperparameters, including the seed that was drawn."""
        self.pre_init()
        self.full: Any = self.get_dataset()
        """The whole dataset."""
        self.train: Any = self.full
        self.val: Any = None
        self.test: Any = None
        if not isinstance(self.full, IterableDataset):
            self.train, self.val, *further_parts = self._split()
            self.test = further_parts[0] if further_parts else None
        self._train_loader: Any = None
        self._loader_share = self._share()

    def state_dict(self) -> dict[str, Any]:
        """Return the seed, which a run that is resumed needs for the same split."""
        return {SEED: self.thparams.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Split by the stored seed, unless one was given."""
        hparams = with_stored_seed(self.thparams, state_dict)
        if hparams is not self.thparams:
            self.thparams, self._train_loader = hparams, None
            if not isinstance(self.full, IterableDataset):
                self.train, self.val, *further_parts = self._split()
                self.test = further_parts[0] if further_parts else None

    @abstractmethod
    def get_dataset(self) -> Dataset[Any]:
        """Return the dataset: a sized one, or an ``IterableDataset``."""
        raise NotImplementedError(
            f"{type(self).__qualname__} does not define get_dataset"
        )

    def pre_init(self) -> None:
        """Prepare the dataset before ``get_dataset``; does nothing by default."""

    @property
    def train_loader(self) -> Any:
        """Training batches, whose position checkpoints keep; None without loader."""
        options = self.thparams.loader
        if options is None:
            return None
        share = self._share()
        if share != self._loader_share:
            self._train_loader, self._loader_share = None, share
        if self._train_loader is None and isinstance(self.train, IterableDataset):
            if options.shuffle:
                raise ValueError(
                    "loader.shuffle: an IterableDataset has an order of its own; "
                    "shuffle in it, and set shuffle to false"
                )
            self._train_loader = DataLoader(
                self.train,
                options.batch_size,
                drop_last=options.drop_last,
                **_workers(options),
            )
        elif self._train_loader is None:
            self._train_loader = ResumableLoader(
                self.train,
                options.batch_size,
                shuffle=options.shuffle,
                seed=self.thparams.seed,
                drop_last=options.drop_last,
                **share,
                **_workers(options),
            )
        return self._train_loader

    @property
    def val_loader(self) -> Any:
        """All validation batches, in order; None without loader."""
        return self._in_order(self.val)

    @property
    def test_loader(self) -> Any:
        """All test batches, in order; None without loader or test part."""
        return self._in_order(self.test)

    def train_dataloader(self) -> Any:
        """Return the training loader, as Lightning requests it."""
        return self._require(self.train_loader)

    def val_dataloader(self) -> Any:
        """Return the validation loader, as Lightning requests it."""
        return self._require(self.val_loader) if self.val is not None else []

    def test_dataloader(self) -> Any:
        """Return the test loader, as Lightning requests it."""
        return self._require(self.test_loader) if self.test is not None else []

    def _share(self) -> dict[str, int]:
        """Return which share of a trainer's processes this one reads."""
        if self.trainer is None:
            return {"rank": 0, "n_ranks": 1}
        return {"rank": self.trainer.global_rank, "n_ranks": self.trainer.world_size}

    def _in_order(self, part: Any) -> Any:
        options = self.thparams.loader
        if options is None or part is None:
            return None
        return DataLoader(part, options.batch_size, **_workers(options))

    def _require(self, loader: Any) -> Any:
        if loader is None:
            raise ValueError(
                f"{type(self).__qualname__} has no loader: set data.loader, as in "
                "loader: {batch_size: 64}"
            )
        return loader

    def _split(self) -> list[Subset[Any]]:
        n_samples, shares = len(self.full), self.thparams.split
        sizes = [int(n_samples * share + 1e-9) for share in shares]
        for i in range(n_samples - sum(sizes)):
            sizes[i % len(sizes)] += 1
        generator = torch.Generator().manual_seed(self.thparams.seed)
        order = torch.randperm(n_samples, generator=generator).tolist()
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        return [
            Subset(self.full, order[start : start + size])
            for start, size in zip(starts, sizes, strict=True)
        ]


def with_stored_seed(hparams: H, state: Mapping[str, Any]) -> H:
    """Return ``hparams`` with the seed in ``state``, unless they were given one.

    A seed that is drawn once more would put validation samples among those of training.
    """
    if SEED in hparams.model_fields_set or not isinstance(state.get(SEED), int):
        return hparams
    return hparams.model_copy(update={SEED: state[SEED]})


def _workers(options: DataLoaderHparams) -> dict[str, Any]:
    return {
        "num_workers": options.num_workers,
        "pin_memory": options.pin_memory,
        "persistent_workers": options.persistent_workers and options.num_workers > 0,
    }
