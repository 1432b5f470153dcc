"""What differs but for values, as lines."""

import pytest
import torch

import burnish
from burnish.train.inspection.diff_sections import diff_sections

A = {f"h.{i}.{name}": torch.ones(2) * i for i in range(12) for name in ("w", "b")}
B = {f"g.{i}.w": torch.ones(3) for i in range(5)} | {"h.0.w": torch.ones(3)}


def test_every_name_is_counted_in_a_line_or_as_left_out() -> None:
    (only_a, only_b, shapes) = diff_sections(burnish.diff(A, B), 1)

    assert (only_a.title, only_a.lines) == ("only in A", ["h.{0...11}.b"])
    assert (only_a.n, only_a.n_more) == (23, 11)
    assert (only_b.lines, only_b.n_more) == (["g.{0...4}.w"], 0)
    assert shapes.lines == ["h.0.w: 2 -> 3"]


def test_all_lines_are_there_unfolded() -> None:
    sections = [*diff_sections(burnish.diff(A, B), None, is_folded=False)]

    assert [(len(s.lines), s.n_more) for s in sections] == [(23, 0), (5, 0), (1, 0)]


def test_of_many_dtypes_that_changed_alike_one_line_is_made() -> None:
    a = {name: torch.ones(2) for name in "abcdefgh"}
    b = {name: value.half() for name, value in a.items()}

    (dtypes,) = diff_sections(burnish.diff(a, b), 6)

    assert dtypes.lines == ["float32 -> float16: 8 tensors, a, ..."]
    assert dtypes.n_more == 0


@pytest.mark.parametrize("name", ["\x1b[31m", "a\nb", "\u202e"])
def test_no_name_is_raw(name: str) -> None:
    a = {name: torch.ones(2)}
    result = burnish.diff(a, {f"{name}2": torch.ones(3)})

    assert name not in "".join(x for s in diff_sections(result, 6) for x in s.lines)
    assert name not in repr(result)
