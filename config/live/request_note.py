"""Who asked for what a config says, in a note beside it, until the run took it over."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..process.interrupts import suppressed
from ..storage.opening import read_file
from ..storage.replacement import write_text

ENDING = ".set"
"""What the note's name adds to that of the config."""

_MOST_BYTES = 1 << 28
"""Of a note; a longer one was cut off, and is none."""


@dataclass(frozen=True, slots=True)
class RequestNote:
    """The note of one config; it is about that very text, and no other.

    Whoever writes or removes it has the `edit_lock`.
    """

    file: Path

    @classmethod
    def beside(cls, config_file: Path) -> "RequestNote":
        """Return the note of a config, which need not be there."""
        return cls(config_file.with_name(config_file.name + ENDING))

    def authors(self, text: str) -> str:
        """Return who asked for ``text``, all of them; empty if nobody did."""
        with suppressed(OSError, ValueError, TypeError, KeyError, RecursionError):
            note = json.loads(read_file(self.file, _MOST_BYTES))
            if note["text"] == text:
                return str(note["by"])
        return ""

    def add(self, by: str, before: str, text: str) -> None:
        """Note that ``by`` asks for ``text``, where the config said ``before``.

        Those whose requests still wait in ``before`` stay noted.
        """
        waiting = self.authors(before)
        everybody = f"{waiting}; {by}" if waiting else by
        write_text(self.file, json.dumps({"text": text, "by": everybody}))

    def remove(self) -> None:
        """Forget who asked, if anybody did."""
        with suppressed(OSError):
            os.unlink(self.file)
