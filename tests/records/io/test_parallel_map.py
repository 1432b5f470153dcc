"""Work of threads: in order, and ended by its first error."""

import pytest

from burnish.records.io.parallel_map import parallel_map


@pytest.mark.parametrize("count", [0, 1, 32, 33, 500])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert [*parallel_map(str, range(count))] == [*map(str, range(count))]


def test_an_error_is_raised_when_its_result_is_due() -> None:
    results = parallel_map(lambda i: 1 / (40 - i), range(500))

    for _ in range(40):
        next(results)

    with pytest.raises(ZeroDivisionError):
        next(results)
