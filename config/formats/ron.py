"""RON files as trees; an empty one is a struct without fields."""

from ..ron.reader import read as read_value
from ..ron.scanner import Scanner
from ..ron.writer import write as write_value
from ..tree import NamedStruct


def read(text: str) -> object:
    """Return the value of ``text``."""
    return read_value(text) if text.strip() else NamedStruct()


def write(tree: object) -> str:
    """Return ``tree`` as text."""
    return write_value(tree) + "\n"


def comment_lines(text: str) -> list[int]:
    """Return the lines, from 1, on which comments of a readable text begin."""
    scanner = Scanner(text)
    while scanner.kind != "end":
        scanner.advance()
    return [scanner.place(start)[0] for start in scanner.comment_starts]
