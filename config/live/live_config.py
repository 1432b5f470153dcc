"""The config of a run in progress, and its file at the top of the run's folder."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..classes.field_types import Ctx
from ..errors import ConfigError, Problem
from ..files import dumps
from ..formats import config_format_of
from ..process.interrupts import raise_of_signal, suppressed
from ..process.transaction import Transaction
from ..process.user_traceback import error_text
from ..short_text import first_names
from ..storage.replacement import refuse_home_sign, write_text
from ..validation.validate import build
from ..versioned import upgrade, versions_in
from .changes import (
    Change,
    apply_changes,
    apply_edit,
    changes_between,
    is_of_now,
    unwritten_fields,
    with_values_of,
)
from .edit_lock import edit_lock
from .history import (
    HISTORY,
    Edit,
    EditHistory,
    edits_ahead,
    edits_of_now,
    read_history,
)
from .live_file import FileReading, LiveFile
from .request_note import RequestNote

C = TypeVar("C")

NAME = "config"
"""Stem of the file at the top of a run's folder."""

SUFFIXES = (".ron", ".yaml", ".yml", ".json")

REFUSED = ".refused"
"""Suffix of the file that explains why an edit was refused."""

_MOST_SECONDS = 5.0
"""Seconds that a starting run waits for a command that is writing the file."""

LOG = logging.getLogger("burnish.edits")
"""The run's log of edits: applied ones at INFO, refused ones at WARNING."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A valid edit of the config, to be applied at this step."""

    changes: tuple[Change, ...]
    by: str
    text: str = ""
    """The whole file that requests it, empty if it is not from the file."""
    replayed: Edit | None = None
    """The past edit that a resumed run applies again."""


class LiveConfig(Generic[C]):
    """A config that follows its file; one process of a run has it.

    ``config`` is in force, and ``ctx`` is passed to its `Serializable` fields. `look`
    returns what is to change, and the caller reports by `accept` or `refuse` whether it
    was applied. The content of the file never makes any of them raise. ``stored`` is
    what was in force at this state earlier, if that differed: then the file holds what
    the run left behind, and is not a request of a user.
    """

    def __init__(
        self,
        folder: Path,
        config: C,
        *,
        suffix: str = ".ron",
        file: Path | None = None,
        past: Sequence[Edit] = (),
        stored: C | None = None,
        overrides: Sequence[str] = (),
        step: int = 0,
        ctx: Ctx | None = None,
    ) -> None:
        self.config, self._ctx = config, ctx
        # A config file that is named explicitly is in force, whatever else is in the
        # folder.
        start_file = file or config_file(folder)
        self._file = LiveFile(start_file or folder / f"{NAME}{suffix}")
        edits = edits_of_now(type(config), read_history(folder / HISTORY), config)
        last_id = max((edit.id for edit in (*edits, *past)), default=0)
        self.history = EditHistory(folder / HISTORY, [*past], last_id)
        refuse_home_sign(str(folder))
        folder.mkdir(parents=True, exist_ok=True)
        before = edits_ahead(edits, past)
        begun = self._note(
            "begun",
            step,
            overrides=tuple(overrides),
            versions=versions_in(type(config)),
        )
        self._ahead = edits_ahead([*edits, begun], past)
        if self._ahead and not past:
            LOG.warning(
                "%s: this run starts from scratch, and repeats the edits of the "
                "run before it: %s. To start without them, stop this run, and "
                "remove %s and %s",
                folder,
                "; ".join(map(str, self._ahead)),
                HISTORY,
                self.file.name,
            )
        with edit_lock(folder, wait_seconds=_MOST_SECONDS):
            was_in_force = config if stored is None else stored
            left_behind = self._after(was_in_force, before)
            self._begin(left_behind, self._final(self._ahead))

    @property
    def file(self) -> Path:
        """The file that may be edited."""
        return self._file.file

    def look(self, step: Callable[[], int]) -> Proposal | None:
        """Return what is to change now, None if nothing is.

        ``step`` returns the number of the state, and is called only if something
        changes.
        """
        if self._ahead and self._ahead[0].step <= step():
            edit = self._ahead[0]
            return Proposal(changes=edit.changes, by=edit.by, replayed=edit)
        reading = self._file.look()
        if reading is None:
            return None
        if reading.is_gone:
            self._write_again()
        elif reading.problem:
            self._refuse(step(), reading.problem, self.file.name, reading.text)
        else:
            return self._checked(step, reading)
        return None

    def look_again(self) -> None:
        """Make the next `look` return the same edit again, since it was not applied."""
        self._file.look_again()

    def accept(
        self, step: int, proposal: Proposal, config: C, transaction: Transaction
    ) -> Edit:
        """Record that ``config`` is now in force, and return the history's new edit."""
        before = self.config, self._ahead

        def put_back() -> None:
            self.config, self._ahead = before

        transaction.undo_with(put_back)
        edits, edit = self.history.edits, proposal.replayed
        if edit is not None:
            self._ahead = [ahead for ahead in self._ahead if ahead is not edit]
            if edit not in edits:
                edits.append(edit)
        else:
            drops = tuple(edit.id for edit in self._ahead)
            self._ahead = []
            edit = self._note(
                "applied", step, by=proposal.by, changes=proposal.changes, drops=drops
            )
            self._remove_notes(proposal.text)
        self.config = config
        again = "" if proposal.replayed is None else "again: "
        LOG.info("%s: %s%s", self.file, again, edit)
        return edit

    def refuse(self, step: int, problem: str, proposal: Proposal) -> None:
        """Report in the log, the history and a file why the edit was refused."""
        drops: tuple[int, ...] = ()
        if proposal.replayed is not None:
            self._ahead.remove(proposal.replayed)
            drops = (proposal.replayed.id,)
        self._refuse(step, problem, proposal.by, proposal.text, drops)

    def _refuse(
        self,
        step: int,
        problem: str,
        by: str,
        refused_text: str,
        drops: tuple[int, ...] = (),
    ) -> None:
        text = f"{self.file.name} was not applied at step {step}: {problem}"
        LOG.warning("%s: the edit was refused: %s", self.file, problem)
        self._note("refused", step, by=by, problem=problem, drops=drops)
        with suppressed(OSError):
            write_text(self._refusal_file, f"{text}\n")
        self._remove_note(refused_text)

    def _checked(
        self, step: Callable[[], int], reading: FileReading
    ) -> Proposal | None:
        try:
            return self._proposal(reading.tree, reading.text)
        except Exception as error:  # a user's class may raise anything
            raise_of_signal(error)
            text = reading.text
            self._refuse(step(), error_text(error), self._authors(text), text)
            return None

    def _proposal(self, tree: Any, text: str) -> Proposal | None:
        """Return the changes in the file. ConfigError for one that is not allowed."""
        config = build(type(self.config), tree, ctx=self._ctx)
        missing = [*unwritten_fields(config, upgrade(type(self.config), tree))]
        if missing:
            raise ConfigError("", [_missing(missing)])
        # A file that already has the values of the edits ahead is as this run left it.
        if self._ahead and not _differ(self._final(self._ahead), config):
            return None
        changes = changes_between(self.config, config)
        if not changes and not self._ahead:
            self._remove_notes(text)
            return None
        return Proposal(changes=tuple(changes), by=self._authors(text), text=text)

    def _begin(self, left_behind: C, final: C) -> None:
        """Write the values that will be in force to the file, unless it was edited.

        ``left_behind`` is its content when the run ended.
        """
        reading = self._file.read_now()
        if reading.is_gone:
            self._write(final)
        if reading.problem:
            return
        try:
            tree = reading.tree
            config: C = build(type(self.config), tree, ctx=self._ctx)
            is_current = is_of_now(config, tree)
            config = self._completed(config, tree)
        except Exception as error:  # code of users, whose errors `look` reports
            raise_of_signal(error)
            return
        is_final = not _differ(config, final)
        if _differ(config, left_behind) and not is_final:
            if not is_current:
                self._write(config)
            return
        self._remove_refusal()
        if is_final and is_current:
            self._file.skip()
        else:
            self._write(final)

    def _completed(self, config: C, tree: Any) -> C:
        """Return ``config`` with the values in force where the file ``tree`` has none.

        The file is complete by the class at the time when it was written; it is not
        rewritten for a run that starts.
        """
        missing = unwritten_fields(config, upgrade(type(config), tree))
        return with_values_of(config, self.config, missing, self._ctx)

    def _final(self, ahead: Iterable[Edit]) -> C:
        """Return the config after the edits ahead, without those that fail."""
        return self._after(self.config, ahead, apply_edit)

    def _after(
        self, config: C, edits: Iterable[Edit], apply: Callable[..., C] = apply_changes
    ) -> C:
        for edit in edits:
            with suppress(ConfigError):
                config = apply(config, edit.changes, self._ctx)
        return config

    def _note(self, verdict: Any, step: int, **facts: Any) -> Edit:
        try:
            return self.history.add(verdict, step, **facts)
        except OSError as error:
            raise_of_signal(error)
            # The edit is recorded, part of the next checkpoint, and written later.
            LOG.warning("%s: the history could not be written: %s", self.file, error)
            return self.history.edits[-1]

    def _write_again(self) -> None:
        with edit_lock(self.file.parent, wait_seconds=0) as is_ours:
            if not is_ours:
                self._file.look_again()
            elif not self._file.is_there:
                LOG.warning("%s is gone; writing it again", self.file)
                self._write(self._final(self._ahead))

    def _write(self, config: C) -> None:
        try:
            form = config_format_of(self.file).name
            text = dumps(config, form, ctx=self._ctx) + "\n"
            self._file.write(text)
        except (OSError, ConfigError, ImportError) as error:
            raise_of_signal(error)
            LOG.warning("%s could not be written: %s", self.file, error)

    def _authors(self, text: str) -> str:
        """Return the source of ``text``: a command that left a note, or an editor."""
        return RequestNote.beside(self.file).authors(text) or self.file.name

    def _remove_notes(self, text: str) -> None:
        """Remove the explanation beside the file, whose ``text`` is now in force."""
        self._remove_refusal()
        self._remove_note(text)

    def _remove_note(self, text: str) -> None:
        """Remove the note on who asked for ``text``, since that was answered."""
        with edit_lock(self.file.parent, wait_seconds=0) as is_ours:
            # A process that has written the file since has left a new, unread note.
            if is_ours and self._file.read_now().text == text:
                RequestNote.beside(self.file).remove()

    def _remove_refusal(self) -> None:
        with suppressed(OSError):
            os.unlink(self._refusal_file)

    @property
    def _refusal_file(self) -> Path:
        return self.file.with_name(self.file.name + REFUSED)


def config_file(folder: Path) -> Path | None:
    """Return the config file at the top of a run's folder, None if there is none.

    Raises ConfigError if there are two, since only one can be in force.
    """
    candidates = [folder / f"{NAME}{suffix}" for suffix in SUFFIXES]
    files = [file for file in candidates if os.path.lexists(file)]
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        message = f"found {names}, expected one config; move the others away"
        raise ConfigError(str(folder), [Problem("", message)])
    return files[0] if files else None


def config_suffix(file: Path | None) -> str:
    """Return the suffix of the config that a run starts with, RON's if it has none."""
    suffix = "" if file is None else file.suffix.lower()
    return suffix if suffix in SUFFIXES else SUFFIXES[0]


def _differ(a: object, b: object) -> bool:
    try:
        return bool(changes_between(a, b))
    except ConfigError:
        return True


def _missing(paths: Sequence[str]) -> Problem:
    return Problem(
        paths[0],
        f"the file leaves out {first_names(paths, 8)}; it must hold every current "
        "value, since an incomplete file may be one that is still being written. "
        "Remove the file to have it written again",
    )
