"""Url: where an object or a folder of a storage lies, named on as a path is."""

import os
from pathlib import Path
from typing import TypeAlias

from .address import address_of, is_url

_LOCAL = ("file://", "local://")
"""How URLs begin that mean paths of this machine."""


class Url(str):
    """The address of an object, or of a folder without the slash at its end.

    It is text, and so what takes a URL takes it; names are added as to a path.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "Url":
        """Return the address in ``text``, which has ``://``."""
        head, mark, tail = text.rpartition("://")
        return super().__new__(cls, f"{head}{mark}{tail.rstrip('/')}")

    @property
    def name(self) -> str:
        """What stands behind the last slash; empty for a whole storage."""
        return self.rpartition("://")[2].rpartition("/")[2]

    @property
    def parent(self) -> "Url":
        """The folder in which it lies; a whole storage lies in itself."""
        head, mark, tail = self.rpartition("://")
        return Url(f"{head}{mark}{tail.rpartition('/')[0]}")

    def __truediv__(self, name: str) -> "Url":
        slash = "" if self.endswith("/") else "/"
        return Url(f"{self}{slash}{name}")


Place: TypeAlias = Path | Url
"""A path of this machine, which is absolute, or a URL that leads elsewhere."""


def path_or_url(file: str | os.PathLike[str]) -> Place:
    """Return where ``file`` is, wherever the program goes from here."""
    text = os.fsdecode(file)
    if not is_url(text):
        return Path(text).absolute()
    if text.startswith(_LOCAL):
        return Path(address_of(text).path)
    return Url(text)
