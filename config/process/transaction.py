"""Transaction: changes of several objects that are all made, or none of them."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias, TypeVar

from .interrupts import uninterrupted

R = TypeVar("R")

Undo: TypeAlias = Callable[[], object]


class SureChange(Protocol):
    """A change that cannot fail, so that nothing needs to be kept to take it back."""

    def make(self) -> object:
        """Make the change; called a second time, complete it."""
        ...

    def undo(self) -> Undo:
        """Return what puts back how things are now, before the change is made."""
        ...


class Transaction:
    """What a function that changes something is given by the one that calls it.

    It makes what may fail, once the transaction has what takes that back, and leaves
    what cannot fail to the end, when nothing else can fail any more.
    """

    def __init__(self) -> None:
        self._undos: list[Undo] = []
        self._waiting: list[SureChange] = []

    def undo_with(self, undo: Undo) -> None:
        """Call ``undo`` if anything fails from here on, before those from earlier."""
        self._undos.append(undo)

    def make_last(self, change: SureChange) -> None:
        """Make ``change`` when nothing can fail any more."""
        self._waiting.append(change)

    def make_visible(self) -> None:
        """Make now what waits for the end, since code that may look at it comes next.

        It is undone like all else from here on, which takes a copy of what was there.
        """
        while self._waiting:
            change = self._waiting[0]
            self._undos.append(change.undo())
            change.make()
            del self._waiting[0]

    def finish(self) -> None:
        """Make what waits for the end."""
        for change in self._waiting:
            change.make()

    def undo(self) -> None:
        """Take all back, the last change first."""
        undo_all(self._undos)


def all_or_nothing(attempt: Callable[[Transaction], R]) -> R:
    """Return what ``attempt`` does; if it raises, nothing was changed.

    An interrupt leaves nothing changed as well, or, where the last changes had begun,
    everything.
    """
    transaction = Transaction()
    is_ending = False
    try:
        result = attempt(transaction)
        with uninterrupted():
            is_ending = True
            transaction.finish()
    except BaseException:
        with uninterrupted():
            if not (is_ending and _completes(transaction)):
                transaction.undo()
        raise
    return result


def undo_all(undos: list[Undo]) -> None:
    """Call each of ``undos``, the last one first, whatever they raise."""
    for undo in reversed(undos):
        # What refused its new state may refuse the old one as well.
        with suppress(Exception):
            undo()


def _completes(transaction: Transaction) -> bool:
    try:
        transaction.finish()
    except Exception:
        return False
    return True
