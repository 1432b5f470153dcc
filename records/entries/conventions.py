"""Whose names and orders the tensors of a module's record have: torch's, or Burn's."""

from typing import Literal, TypeAlias, TypeVar

from .entries import Entries, library_part, with_parts

Convention: TypeAlias = Literal["torch", "burn"]
"""Burn's weight of a linear layer is torch's turned, that of a norm is its gamma."""

E = TypeVar("E", bound=Entries)


def check_convention(convention: object) -> None:
    """Raise ValueError unless it is one that there is."""
    if convention not in ("torch", "burn"):
        raise ValueError(
            f"convention must be 'torch' or 'burn', got {convention!r:.60}"
        )


def convention_of(record: Entries) -> Convention:
    """Return the convention that the record says it is in; torch's if it is silent."""
    is_burns = library_part(record.metadata).get("convention") == "burn"
    return "burn" if is_burns else "torch"


def with_convention(record: E, convention: Convention) -> E:
    """Return the same entries, said to be in ``convention``: nothing is computed."""
    ours = {**library_part(record.metadata), "convention": convention}
    return with_parts(record, metadata={**record.metadata, "burnish": ours})
