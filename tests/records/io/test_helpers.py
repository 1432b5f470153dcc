"""Threads beside the one that calls: how many, and what they may disturb."""

import sys
import threading

import pytest
import torch

from burnish.records.io.helpers import (
    is_only_thread,
    may_have_help,
    start_helper,
    thread_count,
)

pytestmark = pytest.mark.usefixtures("two_threads")


def test_as_many_threads_are_used_as_torch_computes_with() -> None:
    assert thread_count() == 2
    assert may_have_help()

    torch.set_num_threads(1)

    assert thread_count() == 1
    assert not may_have_help()


def test_a_thread_of_the_user_has_no_help() -> None:
    answers: list[bool] = []

    thread = threading.Thread(target=lambda: answers.append(may_have_help()))
    thread.start()
    thread.join()

    assert answers == [False]


def test_torch_computes_in_a_helper_by_that_thread_alone() -> None:
    counts: list[int] = []
    threads: list[threading.Thread] = []

    assert start_helper(lambda: counts.append(torch.get_num_threads()), threads)
    threads[0].join()

    assert counts == [1]
    assert torch.get_num_threads() == 2


def test_helpers_do_not_count_among_threads_that_may_change_values() -> None:
    alone: list[bool] = []
    threads: list[threading.Thread] = []
    n_threads = len(sys._current_frames())  # pyright: ignore[reportPrivateUsage]

    start_helper(lambda: alone.append(is_only_thread()), threads)
    threads[0].join()

    assert alone == [n_threads == 1]


def test_other_threads_count_among_them() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, args=(60,))
    thread.start()

    alone = is_only_thread()
    end.set()
    thread.join()

    assert not alone
