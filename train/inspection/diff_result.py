"""Diff: the result of a comparison, and its text form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ...config.html import FoldedHtml
from ...config.printable import printable
from ...config.short_text import first_names, quantity
from .diff_sections import diff_sections
from .layers import LayerChange
from .tensor_changes import TensorChange


@dataclass(frozen=True, slots=True)
class ValueChange:
    """Plain data that differs: a hyperparameter, a number beside the tensors."""

    path: str
    a: object
    b: object
    """`ABSENT` where one of them has none."""
    is_close: bool = False
    """Whether both are numbers that differ by no more than a given tolerance."""


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff(FoldedHtml):
    """The result of `diff`; `same` is the verdict."""

    a: str
    b: str
    only_a: list[str]
    only_b: list[str]
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Different shapes of common tensors, whose values are not compared then."""
    retyped: dict[str, tuple[torch.dtype, torch.dtype]]
    """Different dtypes; the values are compared nevertheless."""
    renamed: dict[str, str]
    changed: Sequence[TensorChange]
    """Tensors with different values, the largest change first."""
    n_beyond: int
    """How many of them are beyond the tolerance; all of them without one."""
    equal: list[str]
    """Tensors with equal values, by their names in the first one."""
    layers: Sequence[LayerChange]
    """Layers with different values, the largest change first."""
    hyperparameters: list[ValueChange]
    tied_a: list[tuple[str, ...]]
    """Names of tied tensors of the first one that are separate in the second."""
    tied_b: list[tuple[str, ...]]
    not_compared: list[str]
    """What was not compared.

    That is content of torch files beside the state dict, which is never read; and the
    hyperparameters of parts of a module that only one side has.
    """
    data: list[ValueChange]
    """Plain data beside the tensors: extra state, counters."""
    equal_parts: list[str]
    """Parts of two checkpoints without differences; empty for single records."""
    has_tolerance: bool
    """Whether ``rtol`` or ``atol`` was given, which then decides."""

    @property
    def n_equal(self) -> int:
        """Number of tensors with equal values."""
        return len(self.equal)

    @property
    def same(self) -> bool:
        """Whether both are equal: names, shapes, values within the tolerance.

        Without a tolerance dtypes must be equal too; with one, numbers in plain data
        must be within it. Hyperparameters count where both have some; a rename alone,
        or a different tie, is not a difference of values, but one of names. The content
        of `not_compared` does not count.
        """
        names = self.only_a or self.only_b or self.reshaped or self.renamed
        if names or self.hyperparameters or self.tied_a or self.tied_b:
            return False
        if self.has_tolerance:
            return not self.n_beyond and all(change.is_close for change in self.data)
        return not (self.changed or self.retyped or self.data)

    def summary(self) -> str:
        """Return in one line how much differs, and what was not compared."""
        if not self.not_compared:
            return self._verdict()
        names = printable(first_names(self.not_compared, 6))
        verdict = self._verdict()
        text = "the weights are the same" if verdict == "the same" else verdict
        return f"{text}; not compared: {names}"

    def parts_text(self) -> str:
        """Return a line with the equal parts, if others differ; or ''."""
        if self.same or not self.equal_parts:
            return ""
        return f"the same: {printable(', '.join(self.equal_parts))}"

    def _verdict(self) -> str:
        n = len(self.changed) + self.n_equal
        texts = [
            f"different values in {len(self.changed):,} of {quantity(n, 'tensor')}"
        ]
        has_pairs = n or self.reshaped or self.renamed
        if not has_pairs and (self.only_a or self.only_b):
            texts = ["no tensor in common"]
        if 0 < self.n_beyond < len(self.changed):
            texts[0] += f", {self.n_beyond:,} of them beyond the tolerance"
        for paths, name in ((self.only_a, self.a), (self.only_b, self.b)):
            if paths:
                texts.append(f"{len(paths):,} only in {printable(name)}")
        for items, text in (
            (self.reshaped, "of different shape"),
            (self.retyped, "of different dtype"),
            (self.renamed, "renamed"),
            (self.tied_a, f"tied only in {printable(self.a)}"),
            (self.tied_b, f"tied only in {printable(self.b)}"),
            (self.hyperparameters, "hyperparameters differ"),
            (self.data, "plain values differ"),
        ):
            if items:
                texts.append(f"{len(items):,} {text}")
        if self.same:
            is_equal = not (self.changed or self.retyped or self.data)
            return (
                "the same"
                if is_equal
                else f"the same within the tolerance: {'; '.join(texts)}"
            )
        return "; ".join(texts)

    def __repr__(self) -> str:
        lines = [f"Diff({self.summary()})", *self._lines()]
        if len(lines) > 24:
            lines[23:] = ["  ..."]
        return "\n".join(lines)

    def _lines(self) -> Iterator[str]:
        if parts := self.parts_text():
            yield f"  {parts}"
        for section in diff_sections(self, 6):
            mark = _MARKS.get(section.title, f"{section.title}: ")
            yield from (f"  {mark}{line}" for line in section.lines)
            if section.n_more:
                yield f"  {mark}... {section.n_more:,} more"
        if len(self.layers) > 1:
            layer = self.layers[0]
            yield f"  {printable(layer.path)} moved most: {layer.moved:.2%} in all"
        for change in self.changed[:12]:
            d = change.distance
            yield (
                f"  {printable(change.path)}: moved {change.moved:.2%}, at most "
                f"{d.max_abs:.3g}, {share_text(d.changed_share)} of the values"
            )


_MARKS = {"hyperparameters": "", "plain data": "", "only in A": "- ", "only in B": "+ "}
"""The heading of the lines of a kind in a repr, instead of its title."""


def share_text(share: float) -> str:
    """Return a percentage; it is 0 % or 100 % only if that is exact."""
    text = f"{share:.1%}"
    if text == "0.0%" and share:
        return "<0.1%"
    return ">99.9%" if text == "100.0%" and share < 1 else text
