"""Pauses of the garbage collection: in any order, in any thread, never left on."""

import gc
import threading
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from burnish.config.process import gc_pause
from burnish.config.process.gc_pause import paused_collection


@pytest.fixture(autouse=True)
def _collecting() -> Generator[None]:
    gc.enable()
    yield
    gc.enable()


def test_pauses_overlap_and_the_last_one_ends_them() -> None:
    first, second = ExitStack(), ExitStack()

    first.enter_context(paused_collection())
    second.enter_context(paused_collection())
    first.close()

    assert not gc.isenabled()
    second.close()
    assert gc.isenabled()


def test_a_collection_that_was_off_stays_off() -> None:
    gc.disable()

    with paused_collection(), paused_collection():
        pass

    assert not gc.isenabled()


def test_objects_that_a_program_froze_are_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[int] = []

    def counted() -> int:
        counts.append(5)
        return 5

    # Tests that interrupt a pause at any of its lines may leave it in here.
    monkeypatch.setattr(gc_pause, "_aging", set())
    monkeypatch.setattr(gc_pause, "_program_freezes", set())
    monkeypatch.setattr(gc, "get_freeze_count", counted)
    monkeypatch.delattr(gc, "unfreeze")

    for _ in range(3):
        with paused_collection():
            pass

    assert counts == [5]


def test_threads_that_pause_together_leave_it_as_it_was() -> None:
    # A collection of Python 3.12 freezes what is immortal.
    gc.collect()
    n_immortal = gc.get_freeze_count()
    gc.unfreeze()
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(3000):
            with paused_collection():
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert gc.isenabled()
    gc.collect()
    assert gc.get_freeze_count() == n_immortal
