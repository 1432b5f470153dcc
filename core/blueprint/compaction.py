"""Entries that a new one makes pointless, so that a tape does not grow for ever."""

from collections.abc import Sequence
from dataclasses import replace

from .arguments import takes
from .entry import Entry, Setting


def superseded(entries: Sequence[Entry], new: Entry) -> dict[int, Entry | None]:
    """Return what becomes of the entries that ``new`` overrides, by their identity.

    An entry of the same target keeps the names that ``new`` does not set; without any
    it goes. Whatever stands between them is overridden by ``new`` anyhow.
    """
    if not isinstance(new, Setting):
        return {}
    changed: dict[int, Entry | None] = {}
    for entry in entries:
        if not isinstance(entry, Setting) or entry.target != new.target:
            continue
        if entry.on_tape != new.on_tape:
            continue
        left = _left_of(entry, new)
        if left is not entry:
            changed[id(entry)] = left
    return changed


def _left_of(old: Setting, new: Setting) -> Setting | None:
    if new.cls is not None and not new.keep:
        return None
    names = {n: v for n, v in old.arguments.items() if n not in new.arguments}
    cls, keep = old.cls, old.keep
    if new.cls is not None:
        names = {n: v for n, v in names.items() if takes(new.cls, n)}
        # What replaced the maker's arguments altogether still does.
        cls, keep = (None, True) if old.keep else (old.cls, old.keep)
    if cls is None and not names:
        return None
    if cls is old.cls and len(names) == len(old.arguments):
        return old
    return replace(old, cls=cls, arguments=names, keep=keep)
