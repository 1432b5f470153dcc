"""Types that fields may declare, and that are converted from plain data."""

import math
import warnings
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
"""Tuples and dicts that a field may declare, and their conversions from plain ones."""


def numpy_scalar(hint: Any, value: bool | int | float) -> Any:
    """Return a number as the declared scalar; unchanged if that cannot hold it.

    A float becomes the nearest one of the declared precision.
    """
    import numpy as np

    if not issubclass(hint, np.generic):
        return value
    if isinstance(value, bool) != issubclass(hint, np.bool_):
        return value
    try:
        with np.errstate(over="ignore"), warnings.catch_warnings():
            # numpy before 2.0 warns about a number that it wraps around, and returns
            # it.
            warnings.simplefilter("ignore", DeprecationWarning)
            scalar = hint(value)
    except (TypeError, ValueError, OverflowError):
        return value
    if isinstance(value, float) and isinstance(scalar, np.floating):
        return scalar if np.isinf(scalar) == math.isinf(value) else value
    return scalar if scalar.item() == value else value


def exact_float(value: int) -> float | None:
    """Return the float equal to ``value``; None if there is none."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number == value else None
