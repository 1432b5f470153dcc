"""What becomes of a change once old files have been tried."""

from dataclasses import dataclass

from .change import Change, Info


@dataclass(frozen=True, slots=True)
class Harmless(Info):
    """A change of which old files that were tried take no notice."""

    change: Change

    def diagnostic(self) -> str:
        """Return what the change says."""
        return self.change.diagnostic()


@dataclass(frozen=True, slots=True)
class ByHand(Change):
    """A change whose usual rule did not help the old files that were tried."""

    change: Change
    message: str

    def diagnostic(self) -> str:
        """Return what the change says, and what the reader."""
        return f"{self.change.diagnostic()} (no rule mends it: {self.message})"


@dataclass(frozen=True, slots=True)
class Misread(Change):
    """Old files that were tried are refused or mean something else, and why is open."""

    message: str

    def diagnostic(self) -> str:
        """Return what the reader said."""
        return f"older files are not read as they were meant ({self.message})"
