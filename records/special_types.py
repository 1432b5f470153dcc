"""Types that fields may declare, and that plain data has to be made into."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

MAKERS: dict[Any, Callable[[Any], Any]] = {
    torch.Size: torch.Size,
    OrderedDict: OrderedDict,
    Counter: Counter,
    defaultdict: partial(defaultdict, None),
}
"""Tuples and dicts that a field may declare, and what makes them of plain ones."""


def numpy_scalar(hint: Any, value: Any) -> Any:
    """Return a number as the scalar that is declared, or as it is."""
    import numpy as np

    return hint(value) if issubclass(hint, np.generic) else value
