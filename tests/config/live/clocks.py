"""Clocks that a test sets, in the place of those that a look asks."""

from dataclasses import dataclass
from time import monotonic, time

import pytest

from burnish.config.live import live_file


@dataclass
class Clocks:
    """Both clocks run as ever, and are ahead of the real ones."""

    wall_ahead: float = 0.0
    monotonic_ahead: float = 0.0

    def pass_by(self, seconds: float) -> None:
        """Let time go by, on both."""
        self.wall_ahead += seconds
        self.monotonic_ahead += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Return clocks for the looks of this test."""
    both = Clocks()
    monkeypatch.setattr(live_file, "wall_time", lambda: time() + both.wall_ahead)
    monkeypatch.setattr(
        live_file, "monotonic", lambda: monotonic() + both.monotonic_ahead
    )
    return both
