"""Numbers as a line of blocks of different heights, for the terminal."""

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def block_line(values: Sequence[float]) -> str:
    """Return a block for each value, of half the height if all are the same."""
    low, span = min(values), max(values) - min(values)
    top = len(_BLOCKS) - 1
    if not span:
        return _BLOCKS[top // 2] * len(values)
    return "".join(_BLOCKS[round((value - low) / span * top)] for value in values)
