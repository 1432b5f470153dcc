"""Gates at which a save in the background stands still until a test opens them."""

import threading

LONG = 60.0
"""Seconds after which something that should happen is taken not to."""


class Gate:
    """Called by the thread that writes; ``progress=gate`` puts one into a save."""

    def __init__(self) -> None:
        self._arrival, self._opening = threading.Event(), threading.Event()

    def __call__(self, *args: object) -> None:
        self._arrival.set()
        assert self._opening.wait(LONG), "nobody opened the gate"

    def wait_for_arrival(self) -> None:
        assert self._arrival.wait(LONG), "nobody came to the gate"

    @property
    def is_reached(self) -> bool:
        return self._arrival.is_set()

    def open(self) -> None:
        self._opening.set()
