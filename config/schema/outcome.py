"""What becomes of a change once old files have been tried."""

from dataclasses import dataclass

from .change import Change, Info


@dataclass(frozen=True, slots=True)
class Harmless(Info):
    """A change of which old files that were tried take no notice."""

    change: Change

    def diagnostic(self) -> str:
        """Say the change itself: its harm is what was tried, not what it is."""
        return self.change.diagnostic()


@dataclass(frozen=True, slots=True)
class ByHand(Change):
    """A change whose usual rule did not help the old files that were tried."""

    change: Change
    message: str

    def diagnostic(self) -> str:
        """Say the change, and how a file failed that its rule was applied to."""
        return f"{self.change.diagnostic()} (no rule fixes it: {self.message})"


@dataclass(frozen=True, slots=True)
class Misread(Change):
    """Old files that were tried are refused or mean something else, and why is open."""

    message: str

    def diagnostic(self) -> str:
        """Say how reading failed, since no change explains it."""
        return f"older files are no longer read as they were meant ({self.message})"
