"""Which entries a pattern chooses."""

from collections.abc import Callable, Iterator, Sequence

from ...config.patterns import Patterns, as_patterns, matchers
from ...config.spelling import did_you_mean
from .entry import Entry


def selected(
    item: Entry | str, only: Patterns | None, exclude: Patterns | None
) -> bool:
    """Return whether ``item`` is chosen: any of its paths matches, none is excluded."""
    if only is not None and not _any(matchers(only), item):
        return False
    return exclude is None or not _any(matchers(exclude), item)


def check_selection(
    only: Patterns | None,
    exclude: Patterns | None,
    paths: Sequence[str],
) -> None:
    """Raise ValueError for a pattern that chooses nothing: it is a typing error."""
    for name, patterns in (("only", only), ("exclude", exclude)):
        for pattern, hint in unmatched(patterns, paths):
            raise ValueError(f"{name}={pattern!r} matches nothing.{hint}")


def unmatched(
    patterns: Patterns | None, paths: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Return the patterns that match none of ``paths``, each with what may be meant.

    What a predicate chooses is its own affair.
    """
    if patterns is None:
        return
    for pattern, match in zip(as_patterns(patterns), matchers(patterns), strict=True):
        if callable(pattern) or any(match(path, None) for path in paths):
            continue
        inside = f"{pattern}.**"
        if any(m(path, None) for m in matchers(inside) for path in paths):
            yield pattern, f" To choose all that is in it, write {inside!r}."
        else:
            yield pattern, did_you_mean(pattern, paths)


def _any(tests: Sequence[Callable[[str, object], bool]], item: Entry | str) -> bool:
    if isinstance(item, str):
        # A name without an entry is all that a predicate can be asked about.
        return any(test(item, item) for test in tests)
    paths = (item.path, *item.ties)
    return any(test(path, item) for test in tests for path in paths)
