"""A config file that others change, looked at again and again without a wait."""

import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from time import time as wall_time
from typing import Any

from ..errors import ConfigSyntaxError
from ..files import read_text
from ..formats import config_format_of
from ..process.interrupts import raise_of_signal
from ..storage.replacement import write_text

SETTLED_SECONDS = 0.2
"""How long a file must not have changed before it is taken for whole."""

GONE_SECONDS = 1.0
"""How long a file must be gone: an editor may move it away and write another one."""

_MOST_FAILURES = 2
"""At which look a file that cannot be read counts as wrong."""

_Signature = tuple[int, ...]
_GONE: _Signature = ()


@dataclass(frozen=True, slots=True)
class FileReading:
    """What a look found where something is new."""

    tree: Any = None
    """What the file says, if it can be read."""

    text: str = ""
    """The file as it stands."""

    problem: str = ""
    """Why the file cannot be read, empty if it can."""

    is_gone: bool = False
    """Whether nothing has the file's name any more."""


class LiveFile:
    """One config file; `look` costs a call of the system while nothing changes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._name = str(file)
        self._known: _Signature | None = None
        """Of the file that was read last; the empty one if that is gone."""
        self._noticed: _Signature | None = None
        self._noticed_at = 0.0
        self._n_failures = 0

    def look(self) -> FileReading | None:
        """Return what is new since the last look, None for nothing.

        A file that was changed a moment ago, or cannot be read, is nothing new until
        it has settled, or cannot be read at the next look either. Never raises, and
        never waits.
        """
        try:
            status = os.stat(self._name)
        except (OSError, ValueError) as error:
            raise_of_signal(error)
            return self._look_at_nothing()
        signature = _signature_of(status)
        if signature == self._known:
            return None
        self._notice(signature)
        return self._read(signature) if self._is_settled(status) else None

    def read_now(self) -> FileReading:
        """Return what the file says at this moment, settled or not; look goes on."""
        try:
            return _read(self.file)
        except (OSError, ValueError) as error:
            raise_of_signal(error)
            return FileReading(problem=str(error), is_gone=not self.is_there)

    def skip(self) -> None:
        """Take the file as it is now for known, unless it changed a moment ago.

        Then the next looks read it, lest what is written meanwhile is passed over.
        """
        try:
            status = os.stat(self._name)
        except OSError as error:
            raise_of_signal(error)
            return
        if self._is_settled(status):
            self._known = _signature_of(status)

    @property
    def is_there(self) -> bool:
        """Whether something has the file's name, readable or not."""
        return os.path.lexists(self._name)

    def look_again(self) -> None:
        """Have the next look return what the last one returned."""
        self._known = None

    def write(self, text: str) -> None:
        """Replace the file, which the next looks read; OSError if that fails."""
        write_text(self.file, text)

    def _look_at_nothing(self) -> FileReading | None:
        if self._known == _GONE:
            return None
        self._notice(_GONE)
        if monotonic() - self._noticed_at < GONE_SECONDS:
            return None
        self._known = _GONE
        is_gone = not self.is_there
        problem = "is gone" if is_gone else "cannot be reached; is it a broken link?"
        return FileReading(problem=f"{self.file.name} {problem}", is_gone=is_gone)

    def _notice(self, signature: _Signature) -> None:
        if signature != self._noticed:
            self._noticed, self._noticed_at = signature, monotonic()
            self._n_failures = 0

    def _is_settled(self, status: os.stat_result) -> bool:
        # A copy may keep the time of its original, and no program can set a ctime.
        changed_at = max(status.st_mtime, status.st_ctime)
        if wall_time() - changed_at >= SETTLED_SECONDS:
            return True
        # The clock of the disk, or ours, may be wrong by any time: then we count.
        is_noticed = self._noticed is not None
        return is_noticed and monotonic() - self._noticed_at >= SETTLED_SECONDS

    def _read(self, signature: _Signature) -> FileReading | None:
        try:
            reading = _read(self.file)
        except (OSError, ValueError) as error:
            raise_of_signal(error)
            self._n_failures += 1
            if self._n_failures < _MOST_FAILURES:
                return None
            reading = FileReading(problem=str(error))
        # What was changed while it was read has another signature at the next look.
        self._known = signature
        return reading


def _signature_of(status: os.stat_result) -> _Signature:
    return status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino


def _read(file: Path) -> FileReading:
    """Return what ``file`` says. ConfigError, or OSError for what is not a file."""
    form = config_format_of(file)
    try:
        text = read_text(file)
        # Nothing stands for all defaults elsewhere; here it is a file half written.
        if not text.strip():
            raise ConfigSyntaxError("the file is empty")
        return FileReading(tree=form.read(text), text=text)
    except ConfigSyntaxError as error:
        raise error.within(file.name) from None
