"""Work of threads: in order, and ended by its first error."""

import threading
from collections.abc import Iterator

import pytest
import torch

from burnish.records.io.parallel_map import n_ahead, parallel_map

from ..gates import LONG
from ..threads import torch_threads


@pytest.fixture(autouse=True, params=[1, 2, 4])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    with torch_threads(request.param):
        yield


@pytest.mark.parametrize("count", [0, 1, 2, 5, 33, 500])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert [*parallel_map(str, range(count))] == [*map(str, range(count))]


def test_an_error_is_raised_when_its_result_is_due() -> None:
    results = parallel_map(lambda i: 1 / (40 - i), range(500))

    for _ in range(40):
        next(results)

    with pytest.raises(ZeroDivisionError):
        next(results)


def test_items_are_taken_no_further_ahead_than_they_may() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    for result in parallel_map(lambda i: i, items()):
        assert len(taken) <= result + 1 + n_ahead()


def test_two_threads_work_at_one_time() -> None:
    meeting = threading.Barrier(2)
    if not n_ahead():
        pytest.skip("one thread alone")

    def work(i: int) -> int:
        if i < 2:
            meeting.wait(LONG)
        return i

    assert [*parallel_map(work, range(2))] == [0, 1]


def test_an_error_of_the_items_is_raised_and_nothing_is_left_behind() -> None:
    def items() -> Iterator[int]:
        yield from range(20)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(parallel_map(str, items()))


def test_results_that_nobody_asks_for_are_left_alone() -> None:
    results = parallel_map(str, range(1000))
    assert next(results) == "0"
    results.close()  # type: ignore[attr-defined]  # a generator


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_of_the_work_ends_all(error: type[BaseException]) -> None:
    def work(i: int) -> int:
        if i == 7:
            raise error
        return i

    with pytest.raises(error):
        list(parallel_map(work, range(100)))


def test_torch_computes_with_as_many_threads_afterwards() -> None:
    before = torch.get_num_threads()
    list(parallel_map(str, range(100)))
    for _ in parallel_map(str, range(100)):
        assert torch.get_num_threads() == before

    assert torch.get_num_threads() == before


def test_a_thread_in_the_background_gets_no_helpers() -> None:
    names: list[str] = []

    def work(i: int) -> None:
        names.append(threading.current_thread().name)

    thread = threading.Thread(target=lambda: [*parallel_map(work, range(50))])
    thread.start()
    thread.join()

    assert {*names} == {thread.name}
