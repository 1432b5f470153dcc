"""One stored tensor: its path, its ID, its type, and where its bytes are."""

import base64
import hashlib
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import (
    TYPE_CHECKING,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeAlias,
    get_args,
)

import torch

from ...config.short_text import short_repr
from ..tensors.flat_pieces import flat_pieces
from ..tensors.memory import snapshot, values_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..io.source import Maps

Kind: TypeAlias = Literal["parameter", "buffer", "transient", "extra", "tensor"]
"""A parameter, a persistent buffer, a non-persistent (*transient*) buffer, a tensor
inside a module's extra state, or a field of a typed record."""

KINDS: tuple[Kind, ...] = get_args(Kind)

MemoryFormat: TypeAlias = Literal["channels_last", "channels_last_3d"]


class ParamId(str):
    """The identity of a parameter, at every path: 64 random bits as 13 characters."""

    __slots__ = ()

    @classmethod
    def draw(cls) -> Self:
        """Return a new ID from the system's random source."""
        return cls.draw_many(1)[0]

    @classmethod
    def draw_many(cls, count: int) -> list[Self]:
        """Return ``count`` new IDs with one system call."""
        return cls._of_bits(os.urandom(8 * count))

    @classmethod
    def derived(cls, *texts: str) -> Self:
        """Return the ID derived from ``texts``: the same in every process."""
        digest = hashlib.blake2b("\n".join(texts).encode(), digest_size=8).digest()
        return cls._of_bits(digest)[0]

    @classmethod
    def _of_bits(cls, bits: bytes) -> list[Self]:
        # Padded to 10 bytes, each ID is 16 characters of one long encoding.
        padded = b"".join(bits[i : i + 8] + b"\0\0" for i in range(0, len(bits), 8))
        text = base64.b32encode(padded).decode().lower()
        return [cls(text[i : i + 13]) for i in range(0, 2 * len(bits), 16)]

    @staticmethod
    def are_valid(texts: "list[str]") -> bool:
        """Return whether `draw` could have returned each of ``texts``."""
        return (
            set(map(len, texts)) <= {13}
            and _DIGITS.issuperset("".join(texts))
            and {text[12] for text in texts} <= set(_LAST)
        )

    @staticmethod
    def is_valid(text: str) -> bool:
        """Return whether ``text`` is what `draw` could have returned."""
        return len(text) == 13 and text[12] in _LAST and _DIGITS.issuperset(text)


class Param(NamedTuple):
    """A parameter of a module at the first path where it was found."""

    path: str
    id: ParamId
    tensor: "torch.nn.Parameter"

    @property
    def requires_grad(self) -> bool:
        """Whether it is trained; `trainable` reads this of entries as well."""
        return self.tensor.requires_grad


def _no_attribute(self: Param, name: str) -> object:
    for field, cls in (("tensor", torch.Tensor), ("path", str)):
        if hasattr(cls, name):
            cure = f" Write param.{field}.{name}."
            break
    else:
        cure = ""
    raise AttributeError(
        f"a Param has path, id and tensor, and no {name!r}.{cure}",
        name=name,
        obj=self,
    )


# With this method in the class, type checkers would accept any attribute name.
setattr(Param, "__getattr__", _no_attribute)  # noqa: B010


class Payload(Protocol):
    """The bytes of an entry that are still in a file."""

    def load(self, maps: "Maps | None" = None) -> "Tensor":
        """Return the tensor, verified unless that was waived.

        Its memory is shared with nothing else: two calls give two tensors. ``maps`` are
        those of the load that this call is a part of; without them, the call is
        independent. A payload that ``is_live`` may give a load shared memory, which the
        load then copies.

        A payload may have ``blocks()`` as well, which yields the values as
        `Entry.blocks` does; without it, a tensor is read whole for them. Raises
        `RecordChecksumError` or `RecordFormatError`.
        """
        ...


@dataclass(slots=True, eq=False)
class Entry:
    """A tensor of a record; ``source`` is the tensor itself or its bytes in a file."""

    path: str
    kind: Kind
    dtype: torch.dtype
    shape: tuple[int, ...]
    source: "Tensor | Payload"
    id: ParamId | None = None
    requires_grad: bool = False
    ties: tuple[str, ...] = ()
    """Other paths of the same tensor."""
    memory_format: MemoryFormat | None = None
    touched: "Tensor | None" = None
    """The stored tensor, once a caller has been given it and may have changed it."""

    def tensor(self, maps: "Maps | None" = None) -> "Tensor":
        """Return the tensor: the live one, or the stored one, read on first access."""
        live = self._live()
        if live is not None:
            return live
        # Callers keep a live tensor, so it must not use a map of this load.
        tensor = self.read_stored(None if self.is_live else maps)
        # Threads that ask at the same time all get the tensor of the first.
        with _lock:
            if self.touched is None:
                self.touched = tensor
            return self.touched

    def read(self, maps: "Maps | None" = None) -> "Tensor":
        """Return the tensor as `tensor` does, without keeping what is read."""
        live = self._live()
        return self.read_stored(maps) if live is None else live

    def read_stored(self, maps: "Maps | None" = None) -> "Tensor":
        """Return the values in the file, even if the tensor has changed since."""
        source = self.reading_source()
        return source if isinstance(source, torch.Tensor) else source.load(maps)

    def rows(self, start: int, stop: int) -> "Tensor":
        """Return stored rows ``start`` to ``stop`` of the first dimension; keep none.

        For a file whose blocks have checksums (``Recorder(block_sums=...)``), and for a
        folder, little more than the rows is read; for others the whole tensor. All that
        is read is verified. Raises IndexError for rows out of range.
        """
        if not self.shape or not 0 <= start <= stop <= self.shape[0]:
            raise IndexError(
                f"{self.path}: no rows {start} to {stop} in a tensor of shape "
                f"{self.shape}"
            )
        read_rectangle = getattr(self.source, "rectangle", None)
        if read_rectangle is None:
            return values_of(self.read_stored(), self.path)[start:stop].clone()
        zeros, width = (0,) * (len(self.shape) - 1), self.shape[1:]
        rows: Tensor = read_rectangle(((start, *zeros), (stop - start, *width)))
        return rows

    def blocks(self) -> "Iterator[Tensor]":
        """Yield the stored values as flat tensors of about 1 MiB, keeping none.

        None is empty, and each is valid until the next. Raises the errors of a read; a
        checksum that does not match is raised after the last block.
        """
        source = self.reading_source()
        in_pieces = getattr(source, "blocks", None)
        if in_pieces is None:
            values = values_of(self.read_stored(), self.path).detach()
            in_pieces = partial(flat_pieces, values)
        # A payload may end within a value, as with a complex number in a text file, and
        # yield an empty block; readers would mistake that for the end.
        yield from (block for block in in_pieces() if block.numel())

    def read_own(self, maps: "Maps | None" = None) -> "Tensor":
        """Return the values in memory that is shared with nothing else."""
        live = self._live()
        return self.read_stored(maps) if live is None else snapshot(live, self.path)

    def with_tensor(self, tensor: "Tensor") -> "Entry":
        """Return the same entry with ``tensor`` as its value."""
        if not isinstance(tensor, torch.Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' functions return anything
            raise TypeError(
                f"{self.path}: expected a tensor, got {short_repr(tensor)}. A "
                "function for map_tensors must return the tensor that replaces "
                "its argument"
            )
        return self._with(tensor.dtype, tuple(tensor.shape), tensor)

    def with_payload(self, payload: "Tensor | Payload") -> "Entry":
        """Return the same entry with ``payload``, which reads the same tensor."""
        return self._with(self.dtype, self.shape, payload)

    def _with(
        self, dtype: torch.dtype, shape: tuple[int, ...], source: "Tensor | Payload"
    ) -> "Entry":
        # A snapshot calls this for every entry, and `replace` takes five times as long.
        return Entry(
            self.path,
            self.kind,
            dtype,
            shape,
            source,
            self.id,
            self.requires_grad,
            self.ties,
            self.memory_format,
        )

    @property
    def is_live(self) -> bool:
        """Whether the values belong to a tensor that its owner may have changed."""
        return self.touched is not None or not self.is_stored

    @property
    def is_stored(self) -> bool:
        """Whether `read_stored` reads a file."""
        return lies_in_file(self.source)

    def reading_source(self) -> "Tensor | Payload":
        """Return the source for a single read, of which nothing is kept."""
        return self.source

    def _live(self) -> "Tensor | None":
        source = self.source
        return source if isinstance(source, torch.Tensor) else self.touched

    @property
    def nbytes(self) -> int:
        """Return the number of bytes of the values in this dtype."""
        return math.prod(self.shape) * self.dtype.itemsize


def lies_in_file(source: "Tensor | Payload") -> bool:
    """Return whether an entry with this source reads its values from a file."""
    # Every load asks this thousands of times, nearly always about stored payloads.
    return not (isinstance(source, torch.Tensor) or getattr(source, "is_live", False))


def trainable(entry: Entry | Param) -> bool:
    """Return whether this is a parameter that training changes; usable as a pattern."""
    return entry.requires_grad


_lock = threading.Lock()
"""Nothing is called while the lock is held, so no signal handler or fork interferes."""

# 64 bits are 12 digits of 5 bits and one of 4 bits, so the last digit is even.
_DIGITS = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_LAST = frozenset("acegikmoqsuwy246")
