"""Edits of the config of a running run, on all of its processes together."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Generic, TypeVar

from ...config.classes.field_types import Ctx
from ...config.live.changes import Change, apply_edit
from ...config.live.history import Edit
from ...config.live.live_config import LOG, LiveConfig, Proposal
from ...config.process.interrupts import raise_of_signal
from ...config.process.transaction import Transaction, all_or_nothing
from ...config.process.user_traceback import error_text
from ...records.processes.messages import broadcast_text, is_any, n_processes

C = TypeVar("C")

Take = Callable[[C, Transaction], object]
"""Makes a config the current one; the transaction gets the function that undoes it."""

OnEdit = Callable[[Any, tuple[Change, ...]], object]
"""Called with the config that is now in force, and its changes."""


class _RefusedError(Exception):
    """A process refuses an edit; the message is empty where it is another process."""


class LiveEdits(Generic[C]):
    """Finds edits, applies or undoes them, and has them recorded.

    ``live`` is on the first process alone. There, and with one process, each `look`
    reads the file; several processes decide together every ``every`` numbers.
    ``annotate`` is called, after everything is applied, for the annotation of a change.
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
        """The history of the config so far; only on the first process."""
        return () if self._live is None else tuple(self._live.history.edits)

    @property
    def known_edits(self) -> tuple[Edit, ...] | None:
        """The history so far; None where another process has it."""
        return None if self._live is None else self.edits

    def look(self, number: Callable[[], int], config: C, take: Take[C]) -> None:
        """Call ``take`` with the next config if ``config`` was edited.

        Any error of ``take`` or ``on_edit`` refuses the edit and undoes it. An
        interrupt undoes it too, and the next look finds the edit again.
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
        """Return the first process's proposal, when it is time to ask."""
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
        """Apply the edit on all processes. _RefusedError if one of them refuses it."""
        edited, problem = config, ""
        try:
            edited = apply_edit(config, proposal.changes, self._ctx)
            take(edited, transaction)
            if self._on_edit is not None and proposal.changes:
                self._on_edit(edited, proposal.changes)
        except Exception as error:  # a user-defined class may raise anything
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
