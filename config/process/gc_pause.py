"""A pause of garbage collection while thousands of live objects are created."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

# There is no lock, which an interrupt could leave locked: no other thread can split a
# step, and every step may be done twice.
_going_on: set[object] = set()
"""The current pauses, in all threads."""
_turned_off: set[object] = set()
"""The pauses that turned collection off."""
_aging: set[object] = set()
"""The pauses that are freezing all objects at the moment."""
_program_freezes: set[bool] = set()
"""Not empty once it is known that the program itself has frozen objects."""


@contextmanager
def paused_collection() -> Generator[None]:
    """Collect no garbage in the block, and do not scan its new objects right after.

    Pauses may overlap, in one thread and in several; the last one to end turns
    collection on again.
    """
    pause = object()
    # An interrupt may replace one of the calls of `_end`; the other is still made.
    try:
        try:
            _going_on.add(pause)
            if gc.isenabled():
                # Recorded first, so that an interrupt from here on turns collection on
                # again.
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
    # Pauses that turn it off from here on are active, and turn it on themselves.
    turned_off = [*_turned_off]
    if turned_off and not _going_on:
        gc.enable()
        _turned_off.difference_update(turned_off)


def _age_new_objects() -> None:
    """Move new objects to the oldest generation without scanning them.

    If the program has frozen objects of its own, they remain frozen.
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
        # Frozen objects are counted one by one, a million in 30 ms, so this is done
        # once.
        _program_freezes.add(True)
        return
    try:
        try:
            gc.freeze()
        finally:
            gc.unfreeze()
    finally:
        gc.unfreeze()
