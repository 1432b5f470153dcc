"""Url: the address of an object or a folder of a storage, extended like a path."""

import os
from pathlib import Path
from typing import TypeAlias

from .address import address_of, is_url

_LOCAL = ("file://", "local://")
"""The prefixes of URLs that refer to paths of this machine."""


class Url(str):
    """The address of an object, or of a folder without its final slash.

    It is a string, and so accepted wherever a URL is; names are added as to a path.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "Url":
        """Return the address in ``text``, which has ``://``."""
        head, mark, tail = text.rpartition("://")
        return super().__new__(cls, f"{head}{mark}{tail.rstrip('/')}")

    @property
    def name(self) -> str:
        """The part after the last slash; empty for the root of a storage."""
        return self.rpartition("://")[2].rpartition("/")[2]

    @property
    def parent(self) -> "Url":
        """The parent folder; the root of a storage is its own parent."""
        head, mark, tail = self.rpartition("://")
        return Url(f"{head}{mark}{tail.rpartition('/')[0]}")

    def __truediv__(self, name: str) -> "Url":
        slash = "" if self.endswith("/") else "/"
        return Url(f"{self}{slash}{name}")


Place: TypeAlias = Path | Url
"""A path of this machine, which is absolute, or a URL of another one."""


def path_or_url(file: str | os.PathLike[str]) -> Place:
    """Return the absolute location of ``file``, fixed if the directory changes."""
    text = os.fsdecode(file)
    if not is_url(text):
        return Path(text).absolute()
    if text.startswith(_LOCAL):
        return Path(address_of(text).path)
    return Url(text)
