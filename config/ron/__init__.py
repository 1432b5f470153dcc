"""Rusty Object Notation: text to trees (`read`) and trees to text (`write`)."""

from .reader import read
from .writer import write

__all__ = ["read", "write"]
