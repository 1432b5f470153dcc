"""The files of one checkpoint: in a folder, or as another process sent them."""

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...config.errors import ConfigSyntaxError
from ...config.files import text_of
from ...config.formats import config_format_of
from ...config.storage.opening import Descriptor, open_folder, read_file
from ...records.errors import RecordFormatError
from ...records.io.remote.address import is_taken, size_at
from ...records.io.remote.stored_folder import StoredFolder, read_place
from ...records.io.remote.url import Place, Url
from ...records.io.source import missing_beside
from ...records.sharded.folder import is_record_folder
from ...records.sharded.shard_index import INDEX

CONFIG, STATE, RNG = "config.ron", "state.ron", "rng.mpk"
"""The files of a checkpoint, beside one record for each object of the state."""

MOST_BYTES = 1 << 30
"""Maximal bytes of a text; its reader reports one too long for a config."""


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The files of a checkpoint, by name.

    Files in ``contents`` are taken from there, all others from the folder.
    """

    folder: Place
    """Where they are, or were in the process that sent them."""
    contents: Mapping[str, bytes | bytearray] = field(
        default_factory=dict[str, bytes | bytearray]
    )
    is_here: bool = True
    """Whether this process reads the folder itself."""
    folders: frozenset[str] = frozenset()
    """Records in folders, of which each process nevertheless reads its own share."""
    opened: Descriptor | None = None
    """The folder that was opened, which another may have replaced since."""
    _kinds: dict[str, bool] = field(default_factory=dict[str, bool], repr=False)
    """Which objects of a storage were looked up, and whether each is a folder."""

    @classmethod
    def of_folder(cls, folder: Place, texts: Iterable[str] = ()) -> "StoredFiles":
        """Return the files in ``folder``; ``texts`` are read now.

        A missing text is left out.
        """
        if isinstance(folder, Url):
            return cls(folder, _stored_texts(folder, texts))
        # Lazy fields are read later, when the working directory may be another.
        folder = folder.absolute()
        opened = open_folder(str(folder))
        contents = {
            name: data
            for name in texts
            if (data := _text(opened, folder, name)) is not None
        }
        return cls(folder, contents, opened=opened)

    def close(self) -> None:
        """Close the folder; its files can be read as long as it has its name."""
        if self.opened is not None:
            self.opened.close()

    @property
    def is_current(self) -> bool:
        """Whether the opened folder is still the one of that name.

        It has to be open, or the file system may reuse its number. In a storage its
        state is compared.
        """
        if isinstance(self.folder, Url):
            state = self.contents.get(STATE)
            return state is None or _stored_texts(self.folder, [STATE]) == {
                STATE: state
            }
        if self.opened is None:
            return True
        try:
            status = os.stat(self.folder)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(self.opened.fd), status)

    def names(self) -> list[str]:
        """Return the names of all files, sorted; of a storage those held here."""
        is_listed = self.is_here and isinstance(self.folder, Path)
        in_folder = os.listdir(self.folder) if is_listed else []
        return sorted({*in_folder, *self.contents, *self.folders})

    def has(self, name: str) -> bool:
        """Return whether there is a file ``name``, or a dangling link."""
        if name in self.contents or name in self.folders:
            return True
        return self.is_here and (is_taken(self.folder / name) or self.is_folder(name))

    def is_folder(self, name: str) -> bool:
        """Return whether ``name`` is a record in a folder."""
        if name in self.folders or not self.is_here:
            return name in self.folders
        place = self.folder / name
        if isinstance(place, Path):
            return is_record_folder(place)
        if name not in self._kinds:
            self._kinds[name] = size_at(place / INDEX) is not None
        return self._kinds[name]

    def file(self, name: str) -> Place:
        """Return the location of ``name``, for errors."""
        return self.folder / name

    def readable(self, name: str) -> Place | BinaryIO:
        """Return the source of a record. FileNotFoundError, now or when it is read."""
        content = self.contents.get(name)
        if content is not None:
            return cast(
                "BinaryIO", _Content(str(self.file(name)), content, self.contents)
            )
        if not self.is_here and name not in self.folders:
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), str(self.file(name))
            )
        return self.place(name)

    def place(self, name: str) -> Place:
        """Return the path or the URL of an existing record."""
        place = self.file(name)
        is_folder = isinstance(place, Url) and self.is_folder(name)
        return place / INDEX if is_folder else place

    def data(self, name: str, most: int | None = None) -> bytes:
        """Return the bytes of a file, or the first ``most`` + 1."""
        source = self.readable(name)
        if isinstance(source, Url):
            return read_place(source, MOST_BYTES)
        if not isinstance(source, Path):
            return source.read()
        return read_file(source, source.stat().st_size if most is None else most)

    def text(self, name: str) -> str:
        """Return the text of a file. ConfigSyntaxError for other content."""
        return text_of(self.data(name, MOST_BYTES))

    def tree(self, name: str) -> Any:
        """Return the tree of a text, before any class has interpreted it."""
        try:
            return config_format_of(Path(name)).read(self.text(name))
        except ConfigSyntaxError as error:
            raise error.within(str(self.file(name))) from None


def check_texts(files: StoredFiles, *names: str) -> None:
    """Raise RecordFormatError if a text is empty, which would mean all defaults."""
    for name in names:
        if not files.data(name, MOST_BYTES).strip():
            raise RecordFormatError(
                str(files.file(name)),
                "an empty file",
                "the text that was saved",
                "Copy it again, or use an older checkpoint.",
            )


def _stored_texts(folder: Url, names: Iterable[str]) -> dict[str, bytes | bytearray]:
    """Return the contents of the existing ones of these objects."""
    objects, contents = StoredFolder(folder), dict[str, bytes | bytearray]()
    for name in names:
        with suppress(FileNotFoundError):
            contents[name] = objects.read(name)
    return contents


def _text(opened: Descriptor, folder: Path, name: str) -> bytes | None:
    """Return the bytes of a text in a folder that may be renamed meanwhile."""
    try:
        return read_file(name, MOST_BYTES, dir_fd=opened.fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        error.filename = str(folder / name)
        raise


class _Content:
    """Bytes with a name, for readers of records."""

    def __init__(
        self,
        name: str,
        content: bytes | bytearray,
        others: Mapping[str, bytes | bytearray],
    ) -> None:
        self.name, self._content, self._others = name, content, others

    def read(self) -> bytes | bytearray:
        """Return all of them; read-only."""
        return self._content

    def data_beside(self, name: str) -> bytes | bytearray:
        """Return a file of the same checkpoint, to which a linked record refers."""
        if name not in self._others:
            raise missing_beside(self.name, name)
        return self._others[name]
