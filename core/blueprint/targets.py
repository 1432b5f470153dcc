"""Which entries concern which construction."""

from collections.abc import Iterable, Sequence

from ...config.path import is_pattern, matchers
from .entry import Entry, Target
from .errors import SettingError
from .made import Made


class Plans:
    """Tells what is to be changed at each place, in the order in which it was asked."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._exact: dict[str, list[tuple[int, Entry]]] = {}
        self._patterns: list[tuple[int, Entry]] = []
        for i, entry in enumerate(entries):
            if isinstance(entry.target, str) and is_pattern(entry.target):
                self._patterns.append((i, entry))
                continue
            for path in paths_of(entry.target):
                self._exact.setdefault(path, []).append((i, entry))

    def of(self, made: Made) -> tuple[Entry, ...]:
        """Return the entries that concern ``made``.

        Raises `SettingError` for one that concerns some of the copies of a module only.
        """
        found: dict[int, Entry] = {}
        reached: dict[int, int] = {}
        for path in made.paths:
            for i, entry in self._of_path(path):
                found[i] = entry
                reached[i] = reached.get(i, 0) + 1
        if made.is_copied:
            for i, n_paths in reached.items():
                if n_paths < len(made.paths):
                    raise _some_copies(made, found[i])
        return tuple(found[i] for i in sorted(found))

    def _of_path(self, path: str) -> Iterable[tuple[int, Entry]]:
        yield from self._exact.get(path, ())
        for i, entry in self._patterns:
            if matches(entry.target, path):
                yield i, entry


def matches(target: Target, path: str) -> bool:
    """Return whether ``target`` means ``path``."""
    if not isinstance(target, str) or not is_pattern(target):
        return path in paths_of(target)
    return matchers(target)[0](path, None)


def concerning(entries: Iterable[Entry], path: str) -> list[Entry]:
    """Return the entries that may concern what is at ``path`` or below."""
    start = path + "."
    return [
        entry
        for entry in entries
        if not isinstance(entry.target, str)
        or entry.target == path
        or entry.target.startswith(start)
        or is_pattern(entry.target)
    ]


def paths_of(target: Target) -> tuple[str, ...]:
    """Return the paths that an exact target names."""
    return (target,) if isinstance(target, str) else target


def _some_copies(made: Made, entry: Entry) -> SettingError:
    shown = ", ".join(made.paths[:4]) + (", ..." if len(made.paths) > 4 else "")
    return SettingError(
        made.path,
        f"{shown} are copies of one module that is constructed once, and "
        f"{entry.target!r} means only some of them. Use a pattern that means all.",
    )
