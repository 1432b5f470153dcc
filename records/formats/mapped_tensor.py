"""A payload that lies in torch's map of its own file, which torch writes in place."""

from dataclasses import dataclass

from torch import Tensor

from ..errors import RecordFormatError
from ..io.source import FileSource, Maps


@dataclass(frozen=True, slots=True)
class MappedTensor:
    """A tensor of a mapped file: loads read the pages, and users get a copy of them.

    ``torch.save`` over the file empties it first. A tensor that somebody has would be
    gone then, if it was no copy, and so would the file that is made of it.
    """

    tensor: Tensor
    source: FileSource

    @property
    def is_live(self) -> bool:
        """Whether whoever keeps what a load is given has to copy it: always."""
        return True

    def load(self, maps: Maps | None = None) -> Tensor:
        """Return the values for a load to read, or in memory of their own without one.

        Raises `RecordFormatError` for a file that was written over meanwhile, whose
        pages would end the process.
        """
        if self.source.was_changed():
            raise RecordFormatError(
                self.source.name,
                "a file that was written over after it was opened",
                cure="Open it again, or open it with mmap=False, into memory.",
            )
        return self.tensor.clone() if maps is None else self.tensor
