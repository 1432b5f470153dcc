"""Values by path, of which those below a part are found without a look at the rest."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Generic, TypeVar

V = TypeVar("V")


class PathTable(Generic[V]):
    """A dict by path: thousands of parts may each have a rule, and few tensors."""

    def __init__(self, values: Mapping[str, V]) -> None:
        self._values = dict(values)
        self._sorted = sorted(values)
        self._ranks = {path: rank for rank, path in enumerate(values)}
        """The order of the dict."""
        self._next_rank = len(values)

    def below(self, prefix: str) -> dict[str, V]:
        """Return what begins with ``prefix``, by the rest of its path, in order."""
        paths = self._sorted[slice(*self._span(prefix))]
        paths.sort(key=self._ranks.__getitem__)
        return {path[len(prefix) :]: self._values[path] for path in paths}

    def replace(self, prefix: str, values: Mapping[str, V]) -> None:
        """Put ``values``, by the rest of their paths, in the place of those `below`.

        They are the last from then on, as what is put into a dict anew.
        """
        begin, end = self._span(prefix)
        for path in self._sorted[begin:end]:
            del self._values[path], self._ranks[path]
        for relative_path, value in values.items():
            self._values[prefix + relative_path] = value
            self._ranks[prefix + relative_path] = self._next_rank
            self._next_rank += 1
        self._sorted[begin:end] = sorted(
            prefix + relative_path for relative_path in values
        )

    def to_dict(self) -> dict[str, V]:
        """Return all values by path."""
        return dict(self._values)

    def _span(self, prefix: str) -> tuple[int, int]:
        """Return where paths that begin with ``prefix`` lie among the sorted ones."""
        if not prefix:
            return 0, len(self._sorted)
        begin = bisect_left(self._sorted, prefix)
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return begin, bisect_left(self._sorted, after, begin)
