"""Garbage collection, put off while thousands of objects are made that are none."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def paused_collection() -> Generator[None]:
    """Collect no garbage meanwhile, and do not search what was made for it at once."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # Through "frozen" and back, new objects become old ones without being searched;
        # where a program has frozen objects of its own, they stay so.
        if gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()
        gc.enable()
