"""The convention for names and layouts of a module's tensors: torch's or Burn's."""

from typing import Literal, TypeAlias, TypeVar

from .entries import Entries, library_part, with_parts

Convention: TypeAlias = Literal["torch", "burn"]
"""Burn's linear weight is torch's transposed, and a norm's weight is its gamma."""

E = TypeVar("E", bound=Entries)


def check_convention(convention: object) -> None:
    """Raise ValueError for an unknown convention."""
    if convention not in ("torch", "burn"):
        raise ValueError(
            f"convention must be 'torch' or 'burn', got {convention!r:.60}"
        )


def convention_of(record: Entries) -> Convention:
    """Return the convention that the record declares; torch's by default."""
    is_burns = library_part(record.metadata).get("convention") == "burn"
    return "burn" if is_burns else "torch"


def with_convention(record: E, convention: Convention) -> E:
    """Return the same entries, declared as ``convention``; no tensor is converted."""
    ours = {**library_part(record.metadata), "convention": convention}
    return with_parts(record, metadata={**record.metadata, "burnish": ours})
