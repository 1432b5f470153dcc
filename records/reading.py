"""How a record was opened, and what was checked since."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch

from ..config.path import Patterns


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a record was opened, for those who load it into something."""

    file: str = "record"
    """The file's name, for messages."""
    format: str = ""
    """What the format of its content is called; empty if it was never stored."""
    dtype: torch.dtype | Literal["stored"] | None = None
    """Of floating parameters; None leaves the choice to the module that is loaded."""
    device: torch.device | None = None
    """Where tensors go; None leaves them in memory or where the module is."""
    only: Patterns | None = None
    """Patterns of the entries that were chosen; None: all."""
    exclude: Patterns | None = None
    """Patterns of the entries that were left out."""
    hyperparameters: Literal["compare", "ignore"] = "compare"
    """Whether a module that is loaded has to be what the record says it is of."""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path in the file to the path that a rename gave it."""


VerifiedBy: TypeAlias = Literal["live", "all", "touched", "none"]
"""Not stored; every byte was checked; each entry is when it is touched; no sums."""
