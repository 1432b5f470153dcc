"""LoadReport: the result of a load, path by path."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from ..config.html import FoldedHtml
from ..config.printable import printable
from ..config.short_text import quantity
from .entries.entries import VerifiedBy
from .tensors.dtypes import name_of_dtype


@dataclass(slots=True)
class LoadReport(FoldedHtml):
    """What was loaded and what was not; unpacks as torch's (missing, unexpected)."""

    loaded: list[str] = field(default_factory=list[str])
    """Paths of the module that were filled."""
    missing: list[str] = field(default_factory=list[str])
    """Paths of the module that the record does not have."""
    unexpected: list[str] = field(default_factory=list[str])
    """Paths of the record that the module does not have."""
    mismatched: list[str] = field(default_factory=list[str])
    """Paths whose shape or dtype did not fit; empty unless they were excluded."""
    converted: dict[str, tuple[torch.dtype, torch.dtype]] = field(
        default_factory=dict[str, tuple[torch.dtype, torch.dtype]]
    )
    """Path to (stored dtype, dtype in the module)."""
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    """Path in the file to path in the module."""
    derived: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Path to the stored paths from which a tensor rule computed it."""
    initialized: list[str] = field(default_factory=list[str])
    """Paths that initializers filled, since the record does not have them."""
    requires_grad: list[str] = field(default_factory=list[str])
    """Paths of parameters that `from_record` froze or thawed, as they were stored."""
    changed: list[str] = field(default_factory=list[str])
    """Descriptions of other differences from what was stored."""
    verified: VerifiedBy = "live"
    """What was compared with checksums: "all", "none" or "live".

    "all" means every byte, "none" that the file has no checksums, "live" that some
    values are from tensors that already existed in memory.
    """

    @property
    def missing_keys(self) -> list[str]:
        """Torch's ``load_state_dict`` calls it `missing`."""
        return self.missing

    @property
    def unexpected_keys(self) -> list[str]:
        """Torch's ``load_state_dict`` calls it `unexpected`."""
        return self.unexpected

    def __iter__(self) -> Iterator[list[str]]:
        return iter((self.missing, self.unexpected))

    def __repr__(self) -> str:
        lines = [
            f"loaded {quantity(len(self.loaded), 'entry')}, verified: {self.verified}"
        ]
        for name in _LISTS:
            lines += _listed(name, getattr(self, name))
        lines += _listed("renamed", [f"{a} -> {b}" for a, b in self.renamed.items()])
        lines += _listed(
            "derived",
            [f"{path} (of {', '.join(of)})" for path, of in self.derived.items()],
        )
        lines += _listed(
            "converted",
            [
                f"{path} ({name_of_dtype(a)} -> {name_of_dtype(b)})"
                for path, (a, b) in self.converted.items()
            ],
        )
        return "\n".join(lines)


_LISTS = (
    *("missing", "unexpected", "mismatched", "initialized"),
    *("requires_grad", "changed"),
)


def _listed(name: str, items: list[str]) -> list[str]:
    if not items:
        return []
    more = f", and {len(items) - 6} more" if len(items) > 6 else ""
    return [f"  {name} ({len(items)}): {', '.join(map(printable, items[:6]))}{more}"]
