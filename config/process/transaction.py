"""Transaction: changes of several objects of which all are made, or none."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias, TypeVar

from .interrupts import uninterrupted

R = TypeVar("R")

Undo: TypeAlias = Callable[[], object]


class SureChange(Protocol):
    """A change that cannot fail, so that it needs no copy for an undo."""

    def make(self) -> object:
        """Make the change; a second call completes an interrupted one."""
        ...

    def undo(self) -> Undo:
        """Return what restores the present state, before the change is made."""
        ...


class Transaction:
    """Passed to a function that changes something, by the caller that may undo it.

    The function first registers the undo of each change that may fail, then makes it; a
    change that cannot fail is deferred to the end, when nothing else can fail any more.
    """

    def __init__(self) -> None:
        self._undos: list[Undo] = []
        self._waiting: list[SureChange] = []

    def undo_with(self, undo: Undo) -> None:
        """Register ``undo``, called before earlier ones if anything fails later."""
        self._undos.append(undo)

    def make_last(self, change: SureChange) -> None:
        """Make ``change`` when nothing can fail any more."""
        self._waiting.append(change)

    def make_visible(self) -> None:
        """Make the deferred changes now, since the code that follows may look at them.

        A failure from here on undoes them, for which their old state is copied.
        """
        while self._waiting:
            change = self._waiting[0]
            self._undos.append(change.undo())
            change.make()
            del self._waiting[0]

    def finish(self) -> None:
        """Make the deferred changes."""
        for change in self._waiting:
            change.make()

    def undo(self) -> None:
        """Undo all changes, the last one first."""
        undo_all(self._undos)


def all_or_nothing(attempt: Callable[[Transaction], R]) -> R:
    """Return the result of ``attempt``; if it raises, nothing was changed.

    An interrupt leaves nothing changed either, or everything, if it comes during the
    deferred changes.
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
    """Call each of ``undos``, the last one first, even if some raise."""
    for undo in reversed(undos):
        # An object that refused its new state may refuse the old one as well.
        with suppress(Exception):
            undo()


def _completes(transaction: Transaction) -> bool:
    try:
        transaction.finish()
    except Exception:
        return False
    return True
