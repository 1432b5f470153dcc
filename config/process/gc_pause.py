"""Garbage collection, put off while thousands of objects are made that are none."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

# There is no lock, which an interrupt could leave locked: every step is one that no
# other thread can split, and may be done twice.
_going_on: set[object] = set()
"""The pauses that are going on, in all threads."""
_turned_off: set[object] = set()
"""Those of them that turned it off."""
_aging: set[object] = set()
"""Those that have frozen all objects just now."""
_program_freezes: set[bool] = set()
"""Not empty once the program is seen to have frozen objects."""


@contextmanager
def paused_collection() -> Generator[None]:
    """Collect no garbage meanwhile, and do not search what was made for it at once.

    Pauses may overlap, in one thread and in several; the last one ends it.
    """
    pause = object()
    # An interrupt may replace one call of `_end`: the other is still made.
    try:
        try:
            _going_on.add(pause)
            if gc.isenabled():
                # Noted first: whoever is interrupted here turns it on again.
                _turned_off.add(pause)
                gc.disable()
            yield
            _age_new_objects()
        finally:
            _end(pause)
    finally:
        _end(pause)


def _end(pause: object) -> None:
    _going_on.discard(pause)
    # Those that turn it off from here on are going on, and turn it on themselves.
    turned_off = [*_turned_off]
    if turned_off and not _going_on:
        gc.enable()
        _turned_off.difference_update(turned_off)


def _age_new_objects() -> None:
    """Let new objects become old ones without being searched.

    Where a program has frozen objects of its own, they stay so.
    """
    if _program_freezes or _aging:
        return
    pause = object()
    try:
        _aging.add(pause)
        _freeze_and_unfreeze()
    finally:
        _aging.discard(pause)


def _freeze_and_unfreeze() -> None:
    if gc.get_freeze_count():
        # Frozen objects are counted one by one, a million in 30 ms: it is done once.
        _program_freezes.add(True)
        return
    try:
        try:
            gc.freeze()
        finally:
            gc.unfreeze()
    finally:
        gc.unfreeze()
