"""`.mpk` and `.mpk.gz` of Burn up to 0.21 (its "named MessagePack"), only read.

    {"metadata": {"float": text, ...}, "item": the fields of a struct, ...}

A parameter is a map of ID and tensor, a tensor one of bytes, shape and dtype, wherever
they are; the names around them are their path. A field without values is nil.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from ...config.short_text import with_article
from ..entries.entries import Entries
from ..errors import ForeignFileError, RecordError, RecordFormatError
from ..format import Format, WriteOptions
from ..io.sink import Sink
from ..io.source import Source
from ..limits import MEMBER, NUMBER, TEXT, allowance, text_cost
from ..writing.contents import Contents
from .burn_ids import id_of_text
from .burn_tensors import (
    MOST_NAME_BYTES,
    QUANTIZED,
    WIDE_BOOL,
    BurnTensor,
    checked_tensor,
    record_of_tensors,
)
from .msgpack_walk import MessagePackWalk, Token

_MOST_TEXT = 1 << 20
_MOST_DEPTH = 64
_MOST_DIMENSIONS = 64

_OLD = (
    "Burn before 0.14 wrote tensors as lists of numbers: read the file with Burn 0.14 "
    "to 0.16 and its feature record-backward-compat, and save it there."
)


class NamedMessagePack(Format):
    """The format of Burn's recorders, which share their suffixes with our own."""

    name = "burn"
    suffixes = ()
    named_as = "mpk"
    is_writable = False
    has_sums = False

    def recognizes(self, head: bytes, source: Source) -> bool:
        """Return whether a map begins here whose first key is "metadata"."""
        return head[:1] in (b"\x82", b"\x83") and head[1:].startswith(_HEAD)

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Raise: later releases of Burn do not read such files either."""
        raise RecordError("Burn's .mpk files are read-only; write .bpk for Burn")

    def decode(self, source: Source) -> Entries:
        """Return the tensors by path, and the metadata of the writer."""
        item = _Item(source)
        metadata: dict[str, Any] = {**item.read(), "burnish": {"convention": "burn"}}
        if item.scalars:
            metadata["burnish"]["scalars"] = item.scalars
        record = record_of_tensors(item.tensors, source, metadata={})
        record.metadata.update(metadata)
        return record


_HEAD = b"\xa8metadata"


@dataclass(slots=True)
class _Tensor:
    """The bytes, shape and dtype of a map so far."""

    dtype: str = ""
    shape: list[int] | None = None
    place: tuple[int, int] | None = None
    id: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return bool(self.dtype) and self.shape is not None and self.place is not None


_Leaf: TypeAlias = "_Tensor | tuple[int, int] | str | None"
"""Members that a map needs; others are recorded where they are read."""


class _Item:
    """Walks through a file, and records tensors and numbers by their paths."""

    def __init__(self, source: Source) -> None:
        self._file, self._size = source.name, source.size
        self._walk = MessagePackWalk(source)
        self._left = allowance(source.size)
        self.tensors: list[BurnTensor] = []
        self.scalars: dict[str, float | bool | str] = {}

    def read(self) -> dict[str, str]:
        """Return the metadata; the tensors are recorded."""
        metadata: dict[str, str] = {}
        has_item = False
        for _ in range(self._walk.token().n):
            key = self._key()
            if key == "metadata":
                metadata = self._metadata()
            elif key == "item":
                has_item = True
                self._note("", self._value("", 0))
            else:
                self._walk.skip()
        if not has_item:
            raise self._walk.error("no item", "the key 'item'")
        # Tools that end every text with a newline mistook some such files for text.
        if bytes(self._walk.trailing_bytes()) not in (b"", b"\n"):
            raise self._walk.error("bytes after the end")
        return metadata

    def _metadata(self) -> dict[str, str]:
        token = self._walk.token()
        if token.kind != "map":
            raise self._walk.error(
                with_article(token.kind), "the map of Burn's metadata"
            )
        texts: dict[str, str] = {}
        for _ in range(token.n):
            key = self._key()
            text = self._walk.token()
            if text.kind != "text" or key == "burnish":
                raise self._walk.error(f"{key!r:.80} of Burn's metadata", "a text")
            texts[key] = self._walk.text(text.n, _MOST_TEXT)
            self._spend(text_cost(texts[key].encode()) + TEXT + MEMBER)
        return texts

    def _key(self) -> str:
        token = self._walk.token()
        if token.kind != "text":
            raise self._walk.error(with_article(token.kind), "the name of a field")
        return self._walk.text(token.n, MOST_NAME_BYTES)

    def _value(self, path: str, depth: int) -> _Leaf:
        """Read any value; return it if the map around it may need it."""
        token = self._walk.token()
        if depth > _MOST_DEPTH:
            raise self._walk.error(f"values nested deeper than {_MOST_DEPTH} levels")
        if token.kind == "map":
            return self._map(token.n, path, depth)
        if token.kind == "list":
            for i in range(token.n):
                item_path = _joined(path, str(i))
                self._note(item_path, self._value(item_path, depth + 1))
            return None
        if token.kind == "bytes":
            start = self._walk.pass_over(token.n)
            return start, start + token.n
        if token.kind == "text":
            return self._walk.text(token.n, _MOST_TEXT)
        self._note_number(path, token)
        return None

    def _map(self, count: int, path: str, depth: int) -> _Tensor | None:
        """Read a map; return it if it is a tensor, alone or with its ID."""
        tensor = _Tensor()
        for _ in range(count):
            key = self._key()
            if key == "dtype":
                tensor.dtype = self._dtype(path)
            elif key == "shape":
                tensor.shape = self._shape()
            else:
                self._add(tensor, key, _joined(path, key), depth)
        if tensor.is_whole:
            return tensor
        if tensor.shape is not None:
            raise ForeignFileError(
                self._file, f"{path!r:.80} has a shape", "bytes and a dtype too", _OLD
            )
        return None

    def _add(self, tensor: _Tensor, key: str, path: str, depth: int) -> None:
        """Read a member of a map, a part of ``tensor`` or a separate value."""
        value = self._value(path, depth + 1)
        if key == "param" and isinstance(value, _Tensor):
            tensor.dtype, tensor.shape, tensor.place = (
                value.dtype,
                value.shape,
                value.place,
            )
        elif key == "id" and isinstance(value, str):
            tensor.id = value
        elif key == "bytes" and isinstance(value, tuple):
            tensor.place = value
        else:
            self._note(path, value)

    def _dtype(self, path: str) -> str:
        """Return the name of a dtype, which has details in a map of one key."""
        token = self._walk.token()
        if token.kind == "text":
            return self._walk.text(token.n, MOST_NAME_BYTES)
        if token.kind != "map" or token.n != 1:
            raise self._walk.error(
                f"{with_article(token.kind)} as dtype of {path!r:.80}"
            )
        name = self._key()
        if name == "Bool":
            return WIDE_BOOL if self._key() == "U32" else name
        self._walk.skip()
        return QUANTIZED if name == QUANTIZED else f"{name} of a kind"

    def _shape(self) -> list[int]:
        token = self._walk.token()
        if token.kind != "list" or token.n > _MOST_DIMENSIONS:
            raise self._walk.error(
                f"{with_article(token.kind)} of {token.n:,} as shape"
            )
        sizes: list[int] = []
        for _ in range(token.n):
            size = self._walk.token().value
            if type(size) is not int:
                raise self._walk.error(f"{size!r:.40} in a shape", "a number")
            sizes.append(size)
        return sizes

    def _note(self, path: str, value: _Leaf) -> None:
        """Record the separate value at ``path``."""
        if isinstance(value, _Tensor):
            self._note_tensor(path, value)
        elif isinstance(value, str):
            self._spend(text_cost(value.encode()) + text_cost(path.encode()) + MEMBER)
            self.scalars[path] = value
        elif isinstance(value, tuple):
            raise self._walk.error(f"bytes at {path!r:.80}", "a tensor around them")

    def _note_tensor(self, path: str, tensor: _Tensor) -> None:
        # The names of maps occur once in the file, and in each path below them.
        self._spend(text_cost(path.encode()))
        start, end = tensor.place or (0, 0)
        param_id = None if tensor.id is None else id_of_text(tensor.id)
        burn_tensor = BurnTensor(
            path, tensor.dtype, tensor.shape or [], start, end, param_id
        )
        self.tensors.append(checked_tensor(burn_tensor, self._file))

    def _note_number(self, path: str, token: Token) -> None:
        if token.value is not None:
            self._spend(text_cost(path.encode()) + NUMBER + MEMBER)
            self.scalars[path] = token.value

    def _spend(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise RecordFormatError(
                self._file,
                f"names and numbers that would take over {allowance(self._size):,} "
                "bytes of memory",
                "tensors as bytes",
                _OLD,
            )


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


NamedMessagePack.register()
