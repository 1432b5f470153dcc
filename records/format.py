"""Format: the contract of a file format, and the table of those that there are."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from ..config.registry import Registry
from .entry import Entry
from .flat import FlatRecord
from .precision import RecordPrecision
from .sink import Progress, Sink
from .source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a record is written."""

    precision: RecordPrecision
    level: int | None = None
    """Of the format's compression; None is the format's own choice."""
    progress: Progress | None = None
    payload: str | None = None
    """JSON's "numbers" or "base64"; None is the format's own choice."""

    def stored_dtypes(self, entries: Sequence[Entry]) -> list[torch.dtype]:
        """Return the dtype of each entry in the file."""
        return self.precision.stored_dtypes(list(entries))


class Format(ABC):
    """One file format: subclass it, then call `register` once.

    ``write`` streams: it asks for one entry's bytes at a time (``payload.py``), so
    that the memory it needs does not grow with the record. ``read`` returns at once,
    with entries whose sources load their bytes when asked. ``read`` trusts nothing:
    every failure is a `RecordError`, and memory stays in proportion to the file.
    """

    name: ClassVar[str]
    """What ``Recorder(format=...)`` calls it."""
    suffixes: ClassVar[tuple[str, ...]]
    """Endings of its files, the preferred one first."""
    magic: ClassVar[bytes] = b""
    """The first bytes of its files; empty if `recognizes` looks for something else."""
    is_writable: ClassVar[bool] = True
    typed: ClassVar[bool] = True
    """Whether records with declared fields can be written, besides modules'."""

    def recognizes(self, head: bytes, source: Source) -> bool:
        """Return whether a file that begins with ``head`` (up to 64 bytes) is of it."""
        return bool(self.magic) and head.startswith(self.magic)

    @abstractmethod
    def write(self, record: FlatRecord, sink: Sink, options: WriteOptions) -> None:
        """Write ``record``; raise before the first byte whatever can be known then."""

    @abstractmethod
    def read(self, source: Source) -> FlatRecord:
        """Return the record in ``source``, its payloads still there."""

    @classmethod
    def register(cls) -> None:
        """Make the format known, by its name, its suffixes and its magic."""
        _formats.register(cls.name, value=cls())


def formats() -> Iterator[Format]:
    """Return every format, users' own first; built-in ones are imported on the way."""
    yield from (form for name, form in _formats.items() if name not in _BUILT_IN)
    for name in _BUILT_IN:
        yield format_named(name)


def format_named(name: str) -> Format:
    """Return the format called ``name``; ValueError lists those that there are."""
    check_format_name(name)
    if name not in _formats:
        importlib.import_module(f".formats.{_BUILT_IN[name][0]}", __package__)
    return _formats[name]


def check_format_name(name: str) -> None:
    """Raise ValueError, which lists those that there are, for an unknown format."""
    if name not in _formats and name not in _BUILT_IN:
        known = ", ".join(sorted({*_formats, *_BUILT_IN}))
        raise ValueError(f"there is no format {name!r}; there are {known}")


def suffixes() -> dict[str, str]:
    """Return the name of the format of each suffix, without importing any format."""
    known = {end: name for name, (_, ends) in _BUILT_IN.items() for end in ends}
    return known | {
        end: form.name for form in _formats.values() for end in form.suffixes
    }


_formats: Registry[str, Format] = Registry()

# Imported when first asked for, so that reading .mpk does not pay for JSON.
_BUILT_IN: dict[str, tuple[str, tuple[str, ...]]] = {
    "mpk": ("messagepack", (".mpk",)),
    "mpk.zst": ("zstd_messagepack", (".mpk.zst",)),
    "safetensors": ("safetensors", (".safetensors",)),
    "json": ("json", (".json",)),
    "torch": ("torch_archive", (".pt", ".pth", ".bin", ".ckpt")),
}
