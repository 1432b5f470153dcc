"""The config of a run that goes on, and the file at the top of its folder."""

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
"""Of the file at the top of a run's folder, before its suffix."""

SUFFIXES = (".ron", ".yaml", ".yml", ".json")

REFUSED = ".refused"
"""What is added to the file's name where it says why an edit was refused."""

_MOST_SECONDS = 5.0
"""How long a run that begins waits for a command that writes the file."""

LOG = logging.getLogger("burnish.edits")
"""The run's log of edits: applied ones at INFO, refused ones at WARNING."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An edit that fits the config, and is to be made at this step."""

    changes: tuple[Change, ...]
    by: str
    text: str = ""
    """The whole file that says so, empty where none does."""
    replayed: Edit | None = None
    """The edit of the past that a resumed run meets again."""


class LiveConfig(Generic[C]):
    """A config that follows its file; one process of a run has it.

    ``config`` is what is in force, and ``ctx`` what its `Serializable` fields are made
    with. `look` says what is to change, and whoever made the change says so with
    `accept` or `refuse`. No file makes any of them raise. ``stored`` is what was in
    force at this state before, where that was another one: the file then says what the
    run left behind, and is no person's wish.
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
        # One that is named is in force, whatever else lies in the folder.
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
        with edit_lock(folder, wait_seconds=_MOST_SECONDS):
            was_in_force = config if stored is None else stored
            left_behind = self._after(was_in_force, before)
            self._begin(left_behind, self._final(self._ahead))

    @property
    def file(self) -> Path:
        """The file that may be edited."""
        return self._file.file

    def look(self, step: Callable[[], int]) -> Proposal | None:
        """Return what is to change now, None for nothing.

        ``step`` tells the number of the state, and is not asked while nothing changes.
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
        """Have the next `look` return what this one did: nothing came of it."""
        self._file.look_again()

    def accept(
        self, step: int, proposal: Proposal, config: C, transaction: Transaction
    ) -> Edit:
        """Note that ``config`` is in force from now on; return what was noted."""
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
        """Say in the log, in the history and beside the file why nothing is changed."""
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
        """Return what the file changes. Raises ConfigError for what it may not."""
        config = build(type(self.config), tree, ctx=self._ctx)
        missing = [*unwritten_fields(config, upgrade(type(self.config), tree))]
        if missing:
            raise ConfigError("", [_missing(missing)])
        # A file that says what the edits ahead will bring is as this run left it.
        if self._ahead and not _differ(self._final(self._ahead), config):
            return None
        changes = changes_between(self.config, config)
        if not changes and not self._ahead:
            self._remove_notes(text)
            return None
        return Proposal(changes=tuple(changes), by=self._authors(text), text=text)

    def _begin(self, left_behind: C, final: C) -> None:
        """Have the file say what will be in force, unless somebody changed it.

        ``left_behind`` is what it said when the run ended.
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
        except Exception as error:  # users' code, and `look` tells what it raises
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
        """Return ``config`` with what is in force where the file ``tree`` is silent.

        The file is whole by what the class was when it was written: nobody writes it
        for a run that begins.
        """
        missing = unwritten_fields(config, upgrade(type(config), tree))
        return with_values_of(config, self.config, missing, self._ctx)

    def _final(self, ahead: Iterable[Edit]) -> C:
        """Return the config after edits that lie ahead, but for those that fail."""
        return self._after(self.config, ahead)

    def _after(self, config: C, edits: Iterable[Edit]) -> C:
        for edit in edits:
            with suppress(ConfigError):
                config = apply_changes(config, edit.changes, self._ctx)
        return config

    def _note(self, verdict: Any, step: int, **facts: Any) -> Edit:
        try:
            return self.history.add(verdict, step, **facts)
        except OSError as error:
            raise_of_signal(error)
            # The edit is noted, goes into the next checkpoint, and is written later.
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
        """Return what wrote ``text``: a command that says so beside it, or a hand."""
        return RequestNote.beside(self.file).authors(text) or self.file.name

    def _remove_notes(self, text: str) -> None:
        """Remove what is said beside the file, whose ``text`` is in force now."""
        self._remove_refusal()
        self._remove_note(text)

    def _remove_note(self, text: str) -> None:
        """Forget who asked for the file's ``text``, which has its answer."""
        with edit_lock(self.file.parent, wait_seconds=0) as is_ours:
            # Who has written the file since has left a note that nobody read yet.
            if is_ours and self._file.read_now().text == text:
                RequestNote.beside(self.file).remove()

    def _remove_refusal(self) -> None:
        with suppressed(OSError):
            os.unlink(self._refusal_file)

    @property
    def _refusal_file(self) -> Path:
        return self.file.with_name(self.file.name + REFUSED)


def config_file(folder: Path) -> Path | None:
    """Return the config at the top of a run's folder, None if there is none.

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
    """Return the suffix of the config that a run begins with, RON's if it has none."""
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
