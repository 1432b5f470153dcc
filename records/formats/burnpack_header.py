"""The start of a `.bpk` file before the tensors: ten bytes, and a CBOR map."""

import struct
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ...config.short_text import quantity
from ..errors import TRUNCATED, RecordFormatError, RecordVersionError
from ..io.source import Source
from ..limits import MEMBER, allowance, text_cost
from ..source_errors import wrong_size
from .burn_ids import id_of_number
from .burn_tensors import (
    MOST_NAME_BYTES,
    QUANTIZED,
    WIDE_BOOL,
    BurnTensor,
    checked_tensor,
)
from .cbor import CborReader, packed

MAGIC = b"NRUB"
VERSION = 1
ALIGN = 256
"""The tensors begin at multiples of this, each and all together."""

MOST_HEADER = 100 << 20
"""Maximal bytes of the map in Burn's reader."""

_BEFORE_MAP = 10
_MOST_DIMENSIONS = 64


@dataclass(slots=True)
class BurnpackHeader:
    """Everything in a `.bpk` file but the values."""

    tensors: list[BurnTensor] = field(default_factory=list[BurnTensor])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    """Metadata of its writer."""
    scalars: dict[str, int | float | bool] = field(
        default_factory=dict[str, int | float | bool]
    )
    """Numbers beside the tensors, in records of optimizers and schedulers."""


def head_of(tables: Mapping[str, object]) -> bytes:
    """Return a file up to its first tensor: ``tables`` as CBOR, and zeros."""
    text = packed(tables)
    head = MAGIC + struct.pack("<HI", VERSION, len(text)) + text
    return head + bytes(-len(head) % ALIGN)


def cost_of(texts: Iterable[tuple[str, str]]) -> int:
    """Return the memory of strings by name, or of numbers instead of them."""
    return sum(
        text_cost(key.encode()) + text_cost(text.encode()) + MEMBER
        for key, text in texts
    )


def read_burnpack_header(source: Source) -> BurnpackHeader:
    """Return the header in ``source``, with each tensor checked to be inside of it."""
    head = bytes(source.read(0, min(_BEFORE_MAP, source.size)))
    if len(head) < _BEFORE_MAP:
        raise RecordFormatError(
            source.name, f"only {quantity(len(head), 'byte')}", cure=TRUNCATED
        )
    version, length = struct.unpack("<HI", head[len(MAGIC) :])
    if version > VERSION:
        raise RecordVersionError(source.name, version, VERSION, "Burn's container")
    if length > min(MOST_HEADER, source.size - _BEFORE_MAP):
        raise RecordFormatError(
            source.name,
            f"a header of {quantity(length, 'byte')} in a file of {source.size:,}",
            cure=TRUNCATED,
        )
    header = _Tables(source.read(_BEFORE_MAP, length), source).read()
    end = _BEFORE_MAP + length
    n_bytes = max((tensor.end for tensor in header.tensors), default=0)
    begin = end if _is_packed(header) else end + -end % ALIGN
    if source.size != begin + n_bytes:
        raise wrong_size(source, begin + n_bytes)
    for tensor in header.tensors:
        checked_tensor(tensor, source.name)
        tensor.start += begin
        tensor.end += begin
    return header


def _is_packed(header: BurnpackHeader) -> bool:
    """Return whether neither the map nor the tensors are followed by padding.

    Burn 0.19 wrote such files, with the same version of the format. If the locations do
    not show it, its metadata does: a length does not, since a truncated file would be
    read at the wrong position.
    """
    texts = header.texts
    return any(tensor.start % ALIGN for tensor in header.tensors) or (
        texts.get("producer") == "burn"
        and texts.get("version", "").startswith(_PACKED_VERSIONS)
    )


_PACKED_VERSIONS = ("0.19.", *(f"0.20.0-pre.{n}" for n in range(1, 5)))


class _Tables:
    """The map of a file, to be converted to a `BurnpackHeader`."""

    def __init__(self, data: memoryview, source: Source) -> None:
        self._cbor = CborReader(data, source.name)
        self._left = allowance(source.size)
        self._header = BurnpackHeader()

    def read(self) -> BurnpackHeader:
        """Return the content of the map; unknown keys are skipped."""
        tables: dict[str, Callable[[], None]] = {
            "tensors": self._tensors,
            "metadata": self._texts,
            "scalars": self._scalars,
        }
        met_keys: set[str] = set()
        for key in self._keys():
            if key in tables:
                self._meet(key, met_keys)
            tables.get(key, self._cbor.skip)()
        if "tensors" not in met_keys:
            raise self._cbor.error("no tensors", "the key 'tensors'")
        self._cbor.end()
        return self._header

    def _keys(self) -> Iterator[str]:
        """Yield the keys of a map; each one's value must be read before the next.

        There may be any number of unknown ones, so that only known ones are remembered.
        """
        for _ in range(self._cbor.n_members()):
            yield self._cbor.text(MOST_NAME_BYTES)

    def _meet(self, key: str, met_keys: Container[str]) -> None:
        """Record a known key; raise if it occurred before."""
        if key in met_keys:
            raise self._cbor.error(f"the key {key!r:.80} twice")
        if isinstance(met_keys, set):
            met_keys.add(key)

    def _tensors(self) -> None:
        for name in self._keys():
            self._header.tensors.append(self._tensor(name))

    def _tensor(self, name: str) -> BurnTensor:
        tensor = BurnTensor(name, "", [], -1, -1)
        met_keys: set[str] = set()
        for key in self._keys():
            if key in _FIELDS:
                self._meet(key, met_keys)
            if key == "dtype":
                tensor.dtype = self._dtype()
            elif key == "shape":
                tensor.shape = self._numbers(_MOST_DIMENSIONS)
            elif key == "data_offsets":
                tensor.start, tensor.end = self._place(name)
            elif key == "param_id":
                tensor.id = id_of_number(self._cbor.unsigned())
            else:
                self._cbor.skip()
        absent = sorted(_FIELDS - met_keys - {"param_id"})
        if absent:
            raise self._cbor.error(f"{name!r:.80} without {', '.join(absent)}")
        return tensor

    def _dtype(self) -> str:
        """Return the name of a dtype, which has details in a map of one key."""
        cbor = self._cbor
        if cbor.is_text():
            return cbor.text(MOST_NAME_BYTES)
        if cbor.n_members() != 1:
            raise cbor.error("a map", "a dtype")
        name = cbor.text(MOST_NAME_BYTES)
        if name != "Bool":
            cbor.skip()
            return QUANTIZED if name == QUANTIZED else f"{name} of a kind"
        store = cbor.text(MOST_NAME_BYTES)
        if store not in ("Native", "U8", "U32"):
            raise cbor.error(f"booleans stored as {store!r:.40}")
        return WIDE_BOOL if store == "U32" else "Bool"

    def _place(self, name: str) -> tuple[int, int]:
        numbers = self._numbers(2)
        if len(numbers) != 2 or numbers[0] > numbers[1]:
            raise self._cbor.error(f"{name!r:.80} has the offsets {numbers}")
        return numbers[0], numbers[1]

    def _numbers(self, most: int) -> list[int]:
        count = self._cbor.n_items()
        if count > most:
            raise self._cbor.error(f"a list of {count:,}", f"at most {most}")
        return [self._cbor.unsigned() for _ in range(count)]

    def _texts(self) -> None:
        for key in self._keys():
            self._meet(key, self._header.texts)
            text = self._cbor.text(MOST_HEADER)
            self._spend(cost_of([(key, text)]))
            self._header.texts[key] = text

    def _scalars(self) -> None:
        for key in self._keys():
            self._meet(key, self._header.scalars)
            if self._cbor.n_members() != 1:
                raise self._cbor.error(f"the scalar {key!r:.80} of several kinds")
            kind = self._cbor.text(MOST_NAME_BYTES)
            value = self._cbor.scalar()
            if value is None or type(value) is not _SCALARS.get(kind):
                raise self._cbor.error(f"the scalar {key!r:.80}: {value!r:.40}, {kind}")
            self._spend(cost_of([(key, "")]))
            self._header.scalars[key] = value

    def _spend(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise self._cbor.error("more plain data than a file of its length may hold")


_FIELDS = {"dtype", "shape", "data_offsets", "param_id"}
_SCALARS: dict[str, type] = {"Int": int, "UInt": int, "Float": float, "Bool": bool}
