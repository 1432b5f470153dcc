"""Changes of several objects are all made, or none, whatever interrupts them."""

import os
import signal
from collections.abc import Callable

import pytest

from burnish.config.process.transaction import Transaction, Undo, all_or_nothing


class Replaced:
    """A sure change: ``values[name]`` becomes ``value``."""

    def __init__(self, values: dict[str, int], name: str, value: int) -> None:
        self.values, self.name, self.value = values, name, value

    def make(self) -> None:
        self.values[self.name] = self.value

    def undo(self) -> Undo:
        before = self.values[self.name]
        return lambda: self.values.update({self.name: before})


def test_sure_changes_come_last_and_the_result_is_that_of_the_attempt() -> None:
    values = {"a": 1}

    def attempt(transaction: Transaction) -> int:
        transaction.make_last(Replaced(values, "a", 2))
        return values["a"]

    assert all_or_nothing(attempt) == 1
    assert values == {"a": 2}


def test_a_failure_takes_back_what_was_made_the_last_change_first() -> None:
    undone: list[str] = []

    def attempt(transaction: Transaction) -> None:
        transaction.undo_with(lambda: undone.append("first"))
        transaction.undo_with(lambda: undone.append("second"))
        raise ValueError("does not fit")

    with pytest.raises(ValueError, match="does not fit"):
        all_or_nothing(attempt)

    assert undone == ["second", "first"]


def test_an_undo_that_fails_leaves_the_others_to_be_called() -> None:
    undone: list[str] = []

    def refuse() -> None:
        raise RuntimeError("refuses the old state as well")

    def attempt(transaction: Transaction) -> None:
        transaction.undo_with(lambda: undone.append("first"))
        transaction.undo_with(refuse)
        raise ValueError("does not fit")

    with pytest.raises(ValueError, match="does not fit"):
        all_or_nothing(attempt)

    assert undone == ["first"]


def test_what_others_look_at_is_made_before_and_taken_back_after_a_failure() -> None:
    values = {"a": 1}
    seen: list[int] = []

    def attempt(transaction: Transaction) -> None:
        transaction.make_last(Replaced(values, "a", 2))
        transaction.make_visible()
        seen.append(values["a"])
        raise ValueError("does not fit")

    with pytest.raises(ValueError, match="does not fit"):
        all_or_nothing(attempt)

    assert seen == [2]
    assert values == {"a": 1}


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_in_the_last_changes_comes_when_all_are_made(presses: int) -> None:
    values = {"a": 1, "b": 1}

    class Pressed(Replaced):
        def make(self) -> None:
            for _ in range(presses):
                os.kill(os.getpid(), signal.SIGINT)
            super().make()

    def attempt(transaction: Transaction) -> None:
        transaction.make_last(Pressed(values, "a", 2))
        transaction.make_last(Replaced(values, "b", 2))

    with pytest.raises(KeyboardInterrupt):
        all_or_nothing(attempt)

    assert values == {"a": 2, "b": 2}


def _interrupt(values: dict[str, int]) -> Callable[[Transaction], None]:
    def attempt(transaction: Transaction) -> None:
        transaction.undo_with(Replaced(values, "a", 2).undo())
        values["a"] = 2
        raise KeyboardInterrupt

    return attempt


def test_ctrl_c_before_the_last_changes_leaves_nothing_changed() -> None:
    values = {"a": 1}

    with pytest.raises(KeyboardInterrupt):
        all_or_nothing(_interrupt(values))

    assert values == {"a": 1}
