"""Records with fields of every kind."""

import enum
from typing import Any

from torch import Tensor

from burnish.records import (
    Record,
)


class Mode(enum.Enum):
    TRAIN = 1
    EVAL = "eval"


class Moments(Record):
    m: Tensor
    v: Tensor | None = None


class Anything(Record):
    value: Any
