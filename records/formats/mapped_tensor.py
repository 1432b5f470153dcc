"""A payload in torch's map of its own file, which torch overwrites in place."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..io.source import FileSource, Maps
from ..tensors.flat_pieces import flat_pieces


@dataclass(frozen=True, slots=True)
class MappedTensor:
    """A tensor of a mapped file: loads read the pages, and users get a copy of them.

    ``torch.save`` over the file truncates it first. A tensor in use would be lost then,
    if it was not a copy, and so would the file that is written from it.
    """

    tensor: Tensor
    source: FileSource

    @property
    def is_live(self) -> bool:
        """Whether code that keeps a load's values has to copy them: always."""
        return True

    def load(self, maps: Maps | None = None) -> Tensor:
        """Return the values for a load to read, or in memory of their own without one.

        Raises `RecordFormatError` for a file that was overwritten meanwhile, whose
        pages would crash the process.
        """
        self.source.confirm()
        return self.tensor.clone() if maps is None else self.tensor

    def blocks(self) -> Iterator[Tensor]:
        """Yield the values in order, as views of the file's pages where possible.

        That is if they are contiguous. Raises `RecordFormatError` as `load` does.
        """
        for piece in flat_pieces(self.tensor):
            self.source.confirm()
            yield piece
