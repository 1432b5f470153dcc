"""Rusty Object Notation: text to trees (`read`) and trees to text (`write`)."""

from ..tree import Ident, NamedStruct
from .reader import read
from .writer import write

__all__ = ["Ident", "NamedStruct", "read", "write"]
