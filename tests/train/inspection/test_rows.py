"""Rows are read like a list, and made one by one."""

import pickle

import numpy as np
import pytest

from burnish.train.inspection.rows import Rows


def squares(*numbers: int) -> Rows[int]:
    return Rows(np.array(numbers, dtype=np.int64), square)


def square(number: int) -> int:
    return number * number


def test_rows_are_read_as_a_list_is() -> None:
    rows = squares(3, 1, 2)

    assert (len(rows), rows[0], rows[-1], rows[1:]) == (3, 9, 4, [1, 4])
    assert [*rows] == [9, 1, 4] == [*reversed(rows)][::-1]
    assert rows == [9, 1, 4] == pickle.loads(pickle.dumps(rows))  # its own
    assert rows != [9, 1]
    assert rows != (9, 1, 4)
    assert repr(rows) == "[9, 1, 4]"
    with pytest.raises(IndexError):
        rows[3]


def test_no_row_is_made_before_it_is_asked_for() -> None:
    numbers = list[int]()
    rows = Rows(np.arange(5), numbers.append)

    assert (len(rows), bool(rows), numbers) == (5, True, [])
    _ = rows[2]
    assert numbers == [2]


def test_no_rows_are_an_empty_list() -> None:
    assert squares() == []
    assert not squares()
