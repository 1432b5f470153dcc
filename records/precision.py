"""Precision: the dtype in which floating values are stored."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch

from ..config.patterns import Patterns, as_patterns, matches
from ..config.process.user_warning import warn_user
from ..config.short_text import quantity
from .entries.entry import KINDS, Entry
from .entries.select import unmatched
from .tensors.conversion import Overflow, Rounding, Underflow
from .tensors.dtypes import ALL, NAME_OF, dtype_meant

if TYPE_CHECKING:
    from .entries.entries import Entries

PrecisionName: TypeAlias = Literal["full", "half", "bfloat16", "double"]

NAMED: dict[str, torch.dtype] = {
    "full": torch.float32,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "double": torch.float64,
}

Target: TypeAlias = torch.dtype | PrecisionName | None


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Which floating values are converted when a record is written, and to which dtype.

    Integers, booleans, complex numbers and non-persistent buffers are never converted,
    and neither is the state of an optimizer, or any record with declared fields, unless
    ``tensor`` or ``paths`` names it. A subclass may decide by any attribute of an
    entry: it overrides `stored_dtype`.
    """

    param: Target = None
    """The dtype of modules' floating parameters; None leaves them.

    It applies to the tensors of state dicts too, which do not distinguish parameters.
    """

    buffer: Target = None
    """The dtype of floating persistent buffers.

    None leaves them, which is nearly always right.
    """

    tensor: Target = None
    """The dtype of floating tensors in records with declared fields.

    The state of an optimizer is such a record. None leaves them.
    """

    paths: Mapping[str, Target] = field(default_factory=dict[str, Target])
    """Dtypes by pattern of paths, whatever the kind; the last match decides, and None
    leaves the entry."""

    keep: Patterns = field(default=())
    """Patterns of entries that stay as they are, despite all other fields."""

    overflow: Overflow = "error"
    """What happens to a value that the dtype cannot hold.

    "error" raises a `PrecisionError`; else it becomes the nearest finite value, or
    infinity (NaN where the dtype has none).
    """

    underflow: Underflow | None = None
    """What happens to a small value that rounds to 0.

    "error" raises a `PrecisionError`, "warn" counts them in one warning. None allows it
    in parameters and state dicts only: elsewhere a 0 for a small second moment is a
    wrong number.
    """

    def __post_init__(self) -> None:
        for name in ("param", "buffer", "tensor"):
            object.__setattr__(self, name, _dtype(getattr(self, name), name))
        paths = {
            pattern: _dtype(target, f"paths[{pattern!r}]")
            for pattern, target in dict(self.paths).items()
        }
        object.__setattr__(self, "paths", paths)
        if self.overflow not in ("error", "saturate", "allow"):
            raise ValueError(
                "overflow must be 'error', 'saturate' or 'allow', got "
                f"{self.overflow!r}"
            )
        if self.underflow not in (None, "allow", "warn", "error"):
            raise ValueError(
                f"underflow must be 'allow', 'warn' or 'error', got {self.underflow!r}"
            )
        for pattern in (*paths, self.keep):
            matches(pattern, "")

    @classmethod
    def of(cls, precision: "PrecisionLike") -> "Precision":
        """Return ``precision`` as an instance: a name or a dtype sets its ``param``."""
        if isinstance(precision, Precision):
            return precision
        return cls(param=_dtype(precision, "precision"))

    def stored_dtype(self, entry: Entry) -> Target:
        """Return the dtype in which ``entry`` is written; None leaves it.

        Called for each floating entry that a file holds and ``keep`` does not match.
        Any result other than a floating dtype is a ValueError.
        """
        by_kind: dict[str, Target] = {
            "parameter": self.param,
            "buffer": self.buffer,
            "tensor": self.tensor,
        }
        target: Target = by_kind.get(entry.kind)
        for pattern, dtype in self.paths.items():
            if _names(pattern, entry):
                target = dtype
        return target

    @property
    def has_own_rule(self) -> bool:
        """Whether a subclass decides by itself, regardless of the fields."""
        return type(self).stored_dtype is not Precision.stored_dtype

    def of_record(self, record: "Entries") -> "RecordPrecision":
        """Return the precision as it applies to the entries of ``record``."""
        if record.is_typed:
            return RecordPrecision(self, is_typed=True)
        # A state dict does not record which of its tensors are parameters.
        return RecordPrecision(self._with(tensor=self.param), is_typed=False)

    def warn_of_unmatched(self, record: "Entries") -> None:
        """Warn of patterns that match nothing in ``record``: most are typing errors."""
        if not self.paths and not self.keep:
            return
        lines = [
            f"{name} matches nothing.{h}" for name, _, h in self._idle_patterns(record)
        ]
        if lines:
            warn_user(f"precision: {' '.join(lines)}")

    def within(self, record: "Entries") -> "Precision":
        """Return the precision for a part: with the patterns that match there."""
        idle = {pattern for _, pattern, _ in self._idle_patterns(record)}
        if not idle:
            return self
        keep = [pattern for pattern in as_patterns(self.keep) if pattern not in idle]
        paths = {p: target for p, target in self.paths.items() if p not in idle}
        return self._with(keep=keep, paths=paths)

    def _with(self, **values: object) -> "Precision":
        """Return a copy with these fields, and with all attributes of a subclass.

        It does not call the constructor, which a subclass may have changed.
        """
        changed = copy.copy(self)
        for name, value in values.items():
            object.__setattr__(changed, name, value)
        return changed

    def _idle_patterns(self, record: "Entries") -> Iterator[tuple[str, str, str]]:
        """Return each pattern without a match, as the user wrote it, with a hint."""
        entries = record.entries()
        names = [*(e.path for e in entries), *(p for e in entries for p in e.ties)]
        for pattern, hint in unmatched(self.keep, names):
            yield f"keep={pattern!r}", pattern, hint
        for pattern, hint in unmatched(list(self.paths), names):
            yield f"paths={{{pattern!r}: ...}}", pattern, hint

    def describe(self, record: "Entries") -> str | None:
        """Return the precision's name in files, or None for "unchanged"."""
        target = self.tensor if record.is_typed else self.param
        if not isinstance(target, torch.dtype):
            return None
        names = {dtype: name for name, dtype in NAMED.items()}
        return names.get(target, NAME_OF[target])


PrecisionLike: TypeAlias = Precision | torch.dtype | PrecisionName | None


class RecordPrecision:
    """A precision as it applies to one record; counts the values that become 0."""

    def __init__(self, precision: Precision, *, is_typed: bool) -> None:
        self._precision = precision
        targets = (precision.param, precision.buffer, precision.tensor)
        has_targets = any(targets) or bool(precision.paths)
        self._has_own_rule = precision.has_own_rule
        self._converts = self._has_own_rule or has_targets
        self._is_by_kind = not (self._has_own_rule or precision.paths or precision.keep)
        default = Rounding(precision.overflow, precision.underflow or "allow")
        strict = Rounding(precision.overflow, precision.underflow or "error")
        self._roundings = {"parameter": default, "tensor": default}
        if is_typed:
            self._roundings["tensor"] = strict
        self._strict = strict
        by_kind = dict.fromkeys(KINDS, strict) | self._roundings
        self.zeroable = [k for k, r in by_kind.items() if r.underflow == "allow"]
        """Kinds of entries whose small values may become 0 without being counted."""
        self._zeroed: dict[str, int] = {}

    def stored_dtypes(self, entries: "list[Entry]") -> list[torch.dtype]:
        """Return the dtype in which each entry is written."""
        if not self._converts:
            return [entry.dtype for entry in entries]
        if not self._is_by_kind:
            return [self.stored_dtype(entry) for entry in entries]
        # Kind and dtype decide, and have few combinations.
        by_type: dict[tuple[str, torch.dtype], torch.dtype] = {}
        return [
            by_type.get(key := (entry.kind, entry.dtype))
            or by_type.setdefault(key, self.stored_dtype(entry))
            for entry in entries
        ]

    def stored_dtype(self, entry: Entry) -> torch.dtype:
        """Return the dtype in which ``entry`` is written."""
        if not entry.dtype.is_floating_point or entry.kind == "transient":
            return entry.dtype
        keep = self._precision.keep
        if keep and _names(keep, entry):
            return entry.dtype
        target = self._precision.stored_dtype(entry)
        if self._has_own_rule:
            # The fields were checked when they were set.
            name = f"{type(self._precision).__qualname__}.stored_dtype({entry.path!r})"
            target = _dtype(target, name)
        return target if isinstance(target, torch.dtype) else entry.dtype

    def rounding(self, entry: Entry) -> Rounding:
        """Return the policy for the entry's values that its dtype cannot hold."""
        return self._roundings.get(entry.kind, self._strict)

    def count_zeroed(self, path: str, count: int) -> None:
        """Count further values of an entry that became 0."""
        if count:
            self._zeroed[path] = self._zeroed.get(path, 0) + count

    def warn_of_zeroed(self) -> None:
        """Warn, once for the whole record, about values that became 0."""
        if self._zeroed:
            example = next(iter(self._zeroed))
            n_values = quantity(sum(self._zeroed.values()), "value")
            n_entries = quantity(len(self._zeroed), "entry")
            warn_user(
                f"{n_values} other than 0 stored as 0 in {n_entries}, {example} "
                "among them: too small for the precision",
            )


def _names(patterns: Patterns, entry: Entry) -> bool:
    return any(matches(patterns, path, entry) for path in (entry.path, *entry.ties))


def precision_hint(value: object) -> str:
    """Return a suggestion for ``value``, as ``" Did you mean 'half'?"``, or ""."""
    names = {dtype: name for name, dtype in NAMED.items()}
    if (meant := dtype_meant(value)) is not None:
        return f" Did you mean {names[meant]!r}?"
    dtype = ALL.get(f"torch.{str(value).lower().removeprefix('torch.')}")
    if dtype is None:
        return ""
    if dtype.is_floating_point:
        return f" Pass the dtype itself, {dtype}, not a string."
    return (
        " Integer weights need scales: quantize the module, with torchao or "
        "your own layers, and save the result."
    )


def _dtype(value: object, name: str) -> torch.dtype | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in NAMED:
            raise ValueError(
                f"{name}={value!r} is not a precision; choose {', '.join(NAMED)}, any "
                "floating torch dtype, or None to keep every value as it is."
                + precision_hint(value)
            )
        return NAMED[value]
    if not isinstance(value, torch.dtype) or not value.is_floating_point:
        raise ValueError(
            f"{name} must be a floating dtype or its name, got {value!r}."
            + precision_hint(value)
        )
    if value not in NAME_OF:
        raise ValueError(
            f"{name}={value!r} cannot be stored: its values are not whole bytes"
        )
    return value
