"""What all tests of live edits may ask for."""

from .clocks import clocks

__all__ = ["clocks"]
