"""Garbage collection, put off while thousands of objects are made that are none."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


class _Pauses:
    """The pauses that are going on, in all threads, and which of them it turned off.

    There is no lock, which an interrupt could leave locked: every step is one that no
    other thread can split, and may be done twice.
    """

    def __init__(self) -> None:
        self._going_on: set[object] = set()
        self._turned_off: set[object] = set()

    def begin(self, pause: object) -> None:
        self._going_on.add(pause)
        if gc.isenabled():
            # Noted first: whoever is interrupted between the two turns it on again.
            self._turned_off.add(pause)
            gc.disable()

    def end(self, pause: object) -> None:
        self._going_on.discard(pause)
        # Those that turn it off from here on are going on, and turn it on themselves.
        turned_off = [*self._turned_off]
        if turned_off and not self._going_on:
            gc.enable()
            self._turned_off.difference_update(turned_off)


_pauses = _Pauses()


@contextmanager
def paused_collection() -> Generator[None]:
    """Collect no garbage meanwhile, and do not search what was made for it at once.

    Pauses may overlap, in one thread and in several; the last one ends it.
    """
    pause = object()
    # An interrupt may replace one call of `end`: the other is still made.
    try:
        try:
            _pauses.begin(pause)
            yield
            _age_new_objects()
        finally:
            _pauses.end(pause)
    finally:
        _pauses.end(pause)


def _age_new_objects() -> None:
    """Let new objects become old ones without being searched.

    Where a program has frozen objects of its own, they stay so.
    """
    if gc.get_freeze_count():
        return
    try:
        try:
            gc.freeze()
        finally:
            gc.unfreeze()
    finally:
        gc.unfreeze()
