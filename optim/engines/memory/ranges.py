"""Ranges of addresses, many of them compared at once."""

from typing import Any

import numpy as np


def do_ranges_meet(starts: Any, ends: Any, low: Any, high: Any) -> bool:
    """Return whether parameters share memory with each other or with gradients.

    The ranges of parameters are sorted by their ``starts``; those of gradients, from
    ``low`` to ``high``, may meet each other.
    """
    if bool(np.any(ends[:-1] > starts[1:])):
        return True
    # A gradient overlaps the first parameter that ends behind its start, or none.
    after = np.searchsorted(ends, low, side="right")
    inside = np.flatnonzero(after < len(starts))
    return bool(np.any(starts[after[inside]] < high[inside]))
