"""Selection of entries by patterns."""

import dataclasses
from collections.abc import Callable, Container, Iterator, Sequence

import torch

from ...config.patterns import Patterns, as_patterns, matchers
from ...config.short_text import first_names, quantity
from ...config.spelling import did_you_mean
from .entry import Entry


def selected(
    item: Entry | str,
    only: Patterns | None,
    exclude: Patterns | None,
    wrappers: Container[str] = (),
) -> bool:
    """Return whether ``item`` is selected: one of its paths matches, none is excluded.

    A string is the path of plain data, which predicates see as an entry of kind
    "extra". The parts of the tensors at the paths of ``wrappers`` match by the
    wrappers' names too.
    """
    if only is None and exclude is None:
        return True
    entry = data_entry(item) if isinstance(item, str) else item
    paths = [*dict.fromkeys(_names(entry, wrappers))]
    if only is not None and not _any(matchers(only), entry, paths):
        return False
    return exclude is None or not _any(matchers(exclude), entry, paths)


def chosen_alone(
    entry: Entry,
    only: Patterns | None,
    exclude: Patterns | None,
    wrappers: Container[str] = (),
) -> Entry | None:
    """Return ``entry`` under its selected names; None if none is selected.

    A tied entry keeps the names that are not excluded: without its head, a language
    model still has its embedding. Predicates are asked about each name.
    """
    if not entry.ties:
        return entry if selected(entry, only, exclude, wrappers) else None
    names = (entry.path, *entry.ties)
    alone = [dataclasses.replace(entry, path=name, ties=()) for name in names]
    chosen = [e.path for e in alone if selected(e, only, exclude, wrappers)]
    if len(chosen) == len(names):
        return entry
    if not chosen:
        return None
    return dataclasses.replace(entry, path=chosen[0], ties=tuple(chosen[1:]))


def data_entry(path: str) -> Entry:
    """Return an entry that represents the plain data at ``path``."""
    return Entry(path, "extra", torch.uint8, (0,), torch.empty(0, dtype=torch.uint8))


def wrappers_around(path: str, wrappers: Container[str]) -> Iterator[str]:
    """Yield the paths of the wrappers that contain ``path``."""
    if not wrappers:
        return
    for i, character in enumerate(path):
        if character == "." and path[:i] in wrappers:
            yield path[:i]


def _names(entry: Entry, wrappers: Container[str]) -> Iterator[str]:
    for path in (entry.path, *entry.ties):
        yield path
        yield from wrappers_around(path, wrappers)


def check_selection(
    only: Patterns | None,
    exclude: Patterns | None,
    paths: Sequence[str],
) -> None:
    """Raise ValueError for a pattern that matches nothing: it is a typing error."""
    for name, patterns in (("only", only), ("exclude", exclude)):
        for pattern, hint in unmatched(patterns, paths):
            raise ValueError(
                f"{name}={pattern!r} matches nothing.{hint or _examples(paths)}"
            )


def check_any_chosen(
    n_entries: int, only: Patterns | None, exclude: Patterns | None
) -> None:
    """Raise ValueError for patterns that together leave none of ``n_entries``.

    Predicates may select nothing.
    """
    patterns = {"only": only, "exclude": exclude}
    options = {name: as_patterns(p) for name, p in patterns.items() if p is not None}
    if not n_entries or any(callable(p) for group in options.values() for p in group):
        return
    choice = " with ".join(f"{name}={patterns[name]!r:.80}" for name in options)
    raise ValueError(f"{choice} leaves none of {quantity(n_entries, 'entry')} to store")


def _examples(paths: Sequence[str]) -> str:
    """Return some of the names that a pattern could have matched."""
    return f" Available: {first_names(paths, 6)}." if paths else ""


def unmatched(
    patterns: Patterns | None, paths: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the patterns that match none of ``paths``, each with suggestions.

    Predicates may match nothing.
    """
    if patterns is None:
        return
    for pattern, match in zip(as_patterns(patterns), matchers(patterns), strict=True):
        if callable(pattern) or any(match(path, None) for path in paths):
            continue
        inside = f"{pattern}.**"
        if any(m(path, None) for m in matchers(inside) for path in paths):
            yield pattern, f" To choose everything in it, write {inside!r}."
        else:
            yield pattern, did_you_mean(pattern, paths)


def _any(
    tests: Sequence[Callable[[str, object], bool]], entry: Entry, paths: Sequence[str]
) -> bool:
    return any(test(path, entry) for test in tests for path in paths)
