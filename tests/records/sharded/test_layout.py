"""Which part has which rows follows from the grid, and nobody has to tell."""

import itertools

import pytest
import torch

from burnish.records.sharded.layout import Layout, Rectangle, full_rectangle


def filled_by(layout: Layout, number: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Return how often each value of a tensor is stored."""
    counts = torch.zeros(shape, dtype=torch.int64)
    for _, rectangle, _ in layout.chunks(number, shape):
        view = counts
        for dim, (offset, size) in enumerate(zip(*rectangle, strict=True)):
            view = view.narrow(dim, offset, size)
        view += 1
    return counts


@pytest.mark.parametrize("n_parts", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("n_rows", [0, 1, 2, 5, 6, 100])
def test_rows_are_cut_as_torch_cuts_them(n_rows: int, n_parts: int) -> None:
    layout = Layout((n_parts,), tuple(range(n_parts)), ((0, 0),))
    pieces = torch.arange(n_rows).view(n_rows, 1).chunk(n_parts)

    sizes = [layout.rectangle((n_rows, 3), (i,)).sizes[0] for i in range(n_parts)]

    expected = [len(piece) for piece in pieces]
    assert sizes == expected + [0] * (n_parts - len(expected))


@pytest.mark.parametrize(
    ("grid", "cuts"),
    [
        ((4,), ((0, 0),)),
        ((4,), ((0, 1),)),
        ((4,), ()),
        ((2, 3), ((1, 0),)),
        ((2, 3), ((0, 0), (1, 1))),
        ((2, 3), ((1, 0), (0, 0))),
        ((2, 2, 2), ((2, 0), (0, 0))),
    ],
)
@pytest.mark.parametrize("shape", [(7, 5), (1, 9), (6, 6)])
def test_every_value_is_stored_once_whatever_the_grid(
    grid: tuple[int, ...], cuts: tuple[tuple[int, int], ...], shape: tuple[int, ...]
) -> None:
    n = torch.Size(grid).numel()
    layout = Layout(grid, tuple(range(n)), cuts)

    for number in range(5):
        assert bool((filled_by(layout, number, shape) == 1).all())


def test_those_that_are_alike_write_in_turns() -> None:
    layout = Layout((2, 2), (0, 1, 2, 3), ((1, 0),))

    writers = [{c.part for c in layout.chunks(i, (4, 2))} for i in range(3)]

    assert writers == [{0, 1}, {2, 3}, {0, 1}]
    assert [layout.writes(0, place) for place in ((0, 1), (1, 1))] == [True, False]


def test_a_part_that_has_nothing_is_asked_for_nothing() -> None:
    layout = Layout((4,), (0, 1, 2, 3), ((0, 0),))

    assert [c.part for c in layout.chunks(0, (5,))] == [0, 1, 2]
    assert [*layout.chunks(0, (0,))] == []


def test_only_the_parts_of_a_rectangle_are_looked_at() -> None:
    layout = Layout((2, 4), (*range(8),), ((0, 0), (1, 1)))
    wanted = Rectangle((3, 2), (2, 2))

    chunks = {*layout.chunks(0, (6, 8), wanted)}

    all_chunks = layout.chunks(0, (6, 8))
    assert chunks >= {c for c in all_chunks if c.rectangle.common(wanted) is not None}
    assert {c.part for c in chunks} == {5}


def test_what_two_rectangles_have_in_common_is_counted_from_either() -> None:
    a, b = Rectangle((2, 0), (4, 3)), Rectangle((4, 1), (4, 3))

    common = a.common(b)

    assert common == Rectangle((4, 1), (2, 2))
    assert common is not None
    assert common.within(a) == Rectangle((2, 1), (2, 2))
    assert a.common(Rectangle((6, 0), (1, 1))) is None
    assert full_rectangle(()).common(full_rectangle(())) == full_rectangle(())


def test_a_part_is_found_by_its_place_and_the_place_by_its_part() -> None:
    layout = Layout((2, 3), (5, 3, 1, 0, 2, 4), ((0, 0), (1, 1)))

    for place in itertools.product(range(2), range(3)):
        rectangle = layout.rectangle((4, 6), place)
        chunk = next(c for c in layout.chunks(0, (4, 6)) if c.rectangle == rectangle)
        assert layout.place_of(chunk.part) == place
