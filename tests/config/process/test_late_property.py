"""Properties that are computed once, and that a fork does not lock."""

import threading
from pathlib import Path

from burnish.config.process.late_property import late_property

from ...forked_processes import status_of_fork
from .test_process_lock import ROOT


class Box:
    def __init__(self) -> None:
        self.n_computed = 0
        self.is_asked, self.may_end = threading.Event(), threading.Event()

    @late_property
    def size(self) -> int:
        """How large it is."""
        self.is_asked.set()
        self.may_end.wait()
        self.n_computed += 1
        return self.n_computed


def test_it_is_computed_once_for_each_object() -> None:
    box = Box()
    box.may_end.set()

    assert [box.size, box.size, box.n_computed] == [1, 1, 1]
    assert Box.size.__doc__ == "How large it is."


def test_a_child_forked_while_a_thread_computes_it_asks_another_object() -> None:
    slow, other = Box(), Box()
    other.may_end.set()
    thread = threading.Thread(target=lambda: slow.size)
    thread.start()
    slow.is_asked.wait()

    try:
        assert status_of_fork(lambda: other.size) == 0
    finally:
        slow.may_end.set()
        thread.join()


def test_the_property_of_python_is_not_used_whose_lock_a_child_would_find_held() -> (
    None
):
    allowed = {
        # Asks whether a user's class has some.
        Path("core/persistence/likeness.py"),
        # Of the command alone, which starts processes anew.
        Path("train/fit/first_failure.py"),
        Path("config/process/late_property.py"),
    }

    users = {
        file.relative_to(ROOT)
        for folder in ("config", "records", "core", "optim", "train", "cli")
        for file in (ROOT / folder).rglob("*.py")
        if "cached_property" in file.read_text()
    }

    assert users == allowed
