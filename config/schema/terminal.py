"""Colors for reports that are shown in a terminal."""

import os
from typing import TextIO

_COLORS = {
    "warn ": 33,
    "error": 31,
    "Schema compatible": 32,
    "Schema incompatible": 31,
    "Schema updated": 32,
    "+": 32,
    "-": 31,
    "@": 36,
}


def paint(text: str, stream: TextIO) -> str:
    """Return ``text`` with colored lines if ``stream`` is a terminal."""
    if not stream.isatty() or "NO_COLOR" in os.environ:
        return text
    return "\n".join(_paint_line(line) for line in text.splitlines())


def _paint_line(line: str) -> str:
    color = next((c for start, c in _COLORS.items() if line.startswith(start)), None)
    return line if color is None else f"\x1b[{color}m{line}\x1b[0m"
