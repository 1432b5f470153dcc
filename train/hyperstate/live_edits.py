"""Edits of the config of a run that goes on, on all of its processes at once."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Generic, TypeVar

from ...config.classes.field_types import Ctx
from ...config.live.changes import Change, apply_changes
from ...config.live.history import Edit
from ...config.live.live_config import LOG, LiveConfig, Proposal
from ...config.process.interrupts import raise_of_signal
from ...config.process.transaction import Transaction, all_or_nothing
from ...config.process.user_traceback import error_text
from ...records.processes.messages import broadcast_text, is_any, n_processes

C = TypeVar("C")

Take = Callable[[C, Transaction], object]
"""Puts a config in force; the transaction gets what puts the one of now back."""

OnEdit = Callable[[Any, tuple[Change, ...]], object]
"""Is called with the config that is in force from now on, and what is new in it."""


class _RefusedError(Exception):
    """A process refuses an edit: this one with a text, without one another."""


class LiveEdits(Generic[C]):
    """Looks for edits, makes them or takes them back, and has them noted.

    ``live`` is on the first process alone. There, and with one process, each `look`
    is one at the file; several processes decide together every ``every`` numbers.
    ``annotate`` is asked, when all is made, what a change is noted as.
    """

    def __init__(
        self,
        live: LiveConfig[C] | None,
        *,
        number: int,
        every: int = 20,
        on_edit: OnEdit | None = None,
        annotate: Callable[[Change], Change] = lambda change: change,
        ctx: Ctx | None = None,
    ) -> None:
        self._live, self._every, self._on_edit = live, every, on_edit
        self._annotate, self._ctx = annotate, ctx
        self._n_processes = n_processes()
        self._turn = number // every

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What happened to the config up to now; on the first process alone."""
        return () if self._live is None else tuple(self._live.history.edits)

    @property
    def known_edits(self) -> tuple[Edit, ...] | None:
        """What happened up to now; None where another process knows it."""
        return None if self._live is None else self.edits

    def look(self, number: Callable[[], int], config: C, take: Take[C]) -> None:
        """Let ``take`` have the next config if ``config`` was edited.

        What ``take`` or ``on_edit`` raises refuses the edit, and all is put back. So
        it is by an interrupt, and the next look meets the edit again.
        """
        try:
            if self._n_processes > 1:
                proposal = self._shared(number())
            else:
                proposal = None if self._live is None else self._live.look(number)
            if proposal is not None:
                self._make(proposal, number(), config, take)
        except BaseException:
            if self._live is not None:
                self._live.look_again()
            raise

    def _shared(self, number: int) -> Proposal | None:
        """Return what the first process proposes, where it is time to ask it."""
        # Counted by the state, so that a resumed run looks at the same steps.
        turn = number // self._every
        if turn == self._turn:
            return None
        self._turn = turn
        proposal = None if self._live is None else self._live.look(lambda: number)
        text = broadcast_text("" if proposal is None else _text(proposal))
        if proposal is not None or not text:
            return proposal
        changes = tuple(Change(**facts) for facts in json.loads(text))
        return Proposal(changes=changes, by="")

    def _make(self, proposal: Proposal, step: int, config: C, take: Take[C]) -> None:
        try:
            all_or_nothing(partial(self._attempt, proposal, step, config, take))
        except _RefusedError as refused:
            self._refuse(step, str(refused), proposal)

    def _attempt(
        self,
        proposal: Proposal,
        step: int,
        config: C,
        take: Take[C],
        transaction: Transaction,
    ) -> None:
        """Make the edit on all processes. _RefusedError if one of them refuses it."""
        edited, problem = config, ""
        try:
            edited = apply_changes(config, proposal.changes, self._ctx)
            take(edited, transaction)
            if self._on_edit is not None and proposal.changes:
                self._on_edit(edited, proposal.changes)
        except Exception as error:  # a user's class may raise anything
            raise_of_signal(error)
            problem = error_text(error)
        if is_any(bool(problem)):
            raise _RefusedError(problem)
        if self._live is not None:
            noted = replace(
                proposal, changes=tuple(map(self._annotate, proposal.changes))
            )
            self._live.accept(step, noted, edited, transaction)

    def _refuse(self, step: int, problem: str, proposal: Proposal) -> None:
        problem = problem or "another process refused it; its log says why"
        if self._live is None:
            LOG.warning("step %s: the edit was refused: %s", step, problem)
        else:
            self._live.refuse(step, problem, proposal)


def _text(proposal: Proposal) -> str:
    return json.dumps([asdict(change) for change in proposal.changes])
