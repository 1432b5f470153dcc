"""Differences other than values, as titled lines: for tables, pages and reprs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from ...config.short_text import quantity, short_repr
from ...records.entries.show import shape_text
from ...records.tensors.dtypes import name_of_dtype
from .folded_names import NamedLine, folded

_Lines: TypeAlias = Iterable[NamedLine]


class _Sides(Protocol):
    """Plain data that differs, as `ValueChange` has it."""

    @property
    def path(self) -> str: ...
    @property
    def a(self) -> object: ...
    @property
    def b(self) -> object: ...


class _Differences(Protocol):
    """What is shown of a `Diff`, whose repr has these lines."""

    @property
    def only_a(self) -> Sequence[str]: ...
    @property
    def only_b(self) -> Sequence[str]: ...
    @property
    def reshaped(self) -> Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]: ...
    @property
    def retyped(self) -> Mapping[str, tuple[torch.dtype, torch.dtype]]: ...
    @property
    def renamed(self) -> Mapping[str, str]: ...
    @property
    def tied_a(self) -> Sequence[Iterable[str]]: ...
    @property
    def tied_b(self) -> Sequence[Iterable[str]]: ...
    @property
    def hyperparameters(self) -> Sequence[_Sides]: ...
    @property
    def data(self) -> Sequence[_Sides]: ...


@dataclass(frozen=True, slots=True)
class DiffSection:
    """Lines of one kind, and the number of names."""

    title: str
    lines: list[str]
    n: int
    n_more: int
    """Number of names that none of the lines represents."""


def diff_sections(
    result: _Differences, most: int | None, *, is_folded: bool = True
) -> Iterator[DiffSection]:
    """Yield each kind of difference that exists, with ``most`` lines; None: all.

    If ``is_folded``, repeated blocks with the same difference are one line.
    """
    kinds: tuple[tuple[str, int, Callable[[], _Lines]], ...] = (
        (
            "hyperparameters",
            len(result.hyperparameters),
            lambda: _values(result.hyperparameters),
        ),
        ("plain data", len(result.data), lambda: _values(result.data)),
        ("only in A", len(result.only_a), lambda: map(NamedLine, result.only_a)),
        ("only in B", len(result.only_b), lambda: map(NamedLine, result.only_b)),
        ("tied only in A", len(result.tied_a), lambda: _ties(result.tied_a)),
        ("tied only in B", len(result.tied_b), lambda: _ties(result.tied_b)),
        ("another shape", len(result.reshaped), lambda: _shapes(result)),
        ("another dtype", len(result.retyped), lambda: _dtypes(result)),
        (
            "renamed",
            len(result.renamed),
            lambda: (NamedLine(a, new_path=b) for a, b in result.renamed.items()),
        ),
    )
    for title, n, lines in kinds:
        if n:
            every_line = folded(lines()) if is_folded else [*lines()]
            if is_folded and title == "another dtype":
                every_line = _one_if_alike(result, every_line)
            chosen = every_line[:most]
            n_more = n - sum(line.n for line in chosen)
            yield DiffSection(title, [*map(str, chosen)], n, n_more)


def _values(changes: Iterable[_Sides]) -> _Lines:
    for change in changes:
        a, b = (short_repr(side, 40) for side in (change.a, change.b))
        yield NamedLine(change.path, f": {a} -> {b}")


def _ties(ties: Iterable[Iterable[str]]) -> _Lines:
    return (NamedLine(" = ".join(names)) for names in ties)


def _shapes(result: _Differences) -> _Lines:
    for path, shapes in result.reshaped.items():
        yield NamedLine(path, f": {' -> '.join(map(shape_text, shapes))}")


def _dtypes(result: _Differences) -> _Lines:
    for path, dtypes in result.retyped.items():
        yield NamedLine(path, f": {' -> '.join(map(name_of_dtype, dtypes))}")


def _one_if_alike(result: _Differences, lines: list[NamedLine]) -> list[NamedLine]:
    """Return one line where many tensors changed one dtype for another."""
    texts = {line.text for line in lines}
    if len(lines) <= _MOST_DTYPES or len(texts) > 1:
        return lines
    n = len(result.retyped)
    text = f"{texts.pop().removeprefix(': ')}: {quantity(n, 'tensor')}"
    return [NamedLine(text, f", {lines[0].path}, ...", n=n)]


_MOST_DTYPES = 6
