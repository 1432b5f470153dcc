"""A note on who requested a config's content, kept until the run has adopted it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..process.interrupts import suppressed
from ..storage.opening import read_file
from ..storage.replacement import write_text

ENDING = ".set"
"""Suffix of the note, after the name of the config."""

_MOST_BYTES = 1 << 28
"""Maximal size of a note; a longer file is not one."""


@dataclass(frozen=True, slots=True)
class RequestNote:
    """The note of one config; it refers to exactly one text.

    Its writers hold the `edit_lock`.
    """

    file: Path

    @classmethod
    def beside(cls, config_file: Path) -> "RequestNote":
        """Create the object for the note of a config; the file may not exist."""
        return cls(config_file.with_name(config_file.name + ENDING))

    def authors(self, text: str) -> str:
        """Return all who requested ``text``; empty if no one did."""
        with suppressed(OSError, ValueError, TypeError, KeyError, RecursionError):
            note = json.loads(read_file(self.file, _MOST_BYTES))
            if note["text"] == text:
                return str(note["by"])
        return ""

    def add(self, by: str, before: str, text: str) -> None:
        """Record that ``by`` requests ``text``, which replaces ``before``.

        Requests that are still pending in ``before`` remain recorded.
        """
        waiting = self.authors(before)
        everybody = f"{waiting}; {by}" if waiting else by
        write_text(self.file, json.dumps({"text": text, "by": everybody}))

    def remove(self) -> None:
        """Remove the note, if there is one."""
        with suppressed(OSError):
            os.unlink(self.file)
