"""Precision: the dtype in which floating values are stored."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch

from ..config.path import Patterns, matches
from .entry import Entry, Kind

PrecisionName: TypeAlias = Literal["full", "half", "bfloat16", "double"]

NAMED: dict[str, torch.dtype] = {
    "full": torch.float32,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "double": torch.float64,
}

_PARAMS: frozenset[Kind] = frozenset({"parameter", "tensor"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """Which floating values are converted when a record is written, and to what.

    Integers, booleans, complex numbers and non-persistent buffers are never touched.
    """

    param: torch.dtype | PrecisionName | None = None
    """Of floating parameters, and of the tensors of records; None leaves them."""

    buffer: torch.dtype | PrecisionName | None = None
    """Of floating persistent buffers; None leaves them, nearly always rightly."""

    keep: Patterns = field(default=())
    """Patterns of entries that stay as they are."""

    overflow: Literal["error", "saturate", "allow"] = "error"
    """What becomes of a finite value beyond the dtype's range: a `PrecisionError`,
    the largest finite value, or infinity."""

    def __post_init__(self) -> None:
        for name in ("param", "buffer"):
            object.__setattr__(self, name, _dtype(getattr(self, name), name))
        if self.overflow not in ("error", "saturate", "allow"):
            raise ValueError(
                f"overflow is 'error', 'saturate' or 'allow', got {self.overflow!r}"
            )
        matches(self.keep, "")

    @classmethod
    def of(cls, precision: "PrecisionLike") -> "Precision":
        """Return ``precision`` as a value: a name and a dtype are its ``param``."""
        if isinstance(precision, Precision):
            return precision
        return cls(param=precision)

    def stored_dtype(self, entry: Entry) -> torch.dtype:
        """Return the dtype in which ``entry`` is written."""
        if not entry.dtype.is_floating_point:
            return entry.dtype
        wanted = self.param if entry.kind in _PARAMS else None
        if entry.kind == "buffer":
            wanted = self.buffer
        if not isinstance(wanted, torch.dtype) or self._keeps(entry):
            return entry.dtype
        return wanted

    def describe(self) -> str | None:
        """Return the precision as files name it, or None for "as it is"."""
        names = {dtype: name for name, dtype in NAMED.items()}
        if self.param is None:
            return None
        return names.get(self.param, str(self.param).removeprefix("torch."))  # type: ignore[arg-type]  # a dtype since __post_init__

    def _keeps(self, entry: Entry) -> bool:
        return bool(self.keep) and any(
            matches(self.keep, path, entry) for path in (entry.path, *entry.ties)
        )


PrecisionLike: TypeAlias = Precision | torch.dtype | PrecisionName | None


def _dtype(value: object, name: str) -> torch.dtype | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in NAMED:
            raise ValueError(
                f"{name}={value!r} is no precision; there are {', '.join(NAMED)}, "
                "or any floating torch dtype"
            )
        return NAMED[value]
    if not isinstance(value, torch.dtype) or not value.is_floating_point:
        raise ValueError(f"{name} is a floating dtype or its name, got {value!r}")
    return value
