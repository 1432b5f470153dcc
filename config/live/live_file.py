"""A config file that other programs edit, polled without waiting."""

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
"""Seconds without a change after which a file counts as completely written."""

GONE_SECONDS = 1.0
"""Seconds that a file must be gone: editors may move it away before they write it."""

_MOST_FAILURES = 2
"""The number of attempts after which an unreadable file is reported."""

_Signature = tuple[int, ...]
_GONE: _Signature = ()


@dataclass(frozen=True, slots=True)
class FileReading:
    """The result of a look that found something new."""

    tree: Any = None
    """The content of the file, if it can be read."""

    text: str = ""
    """The file's current state."""

    problem: str = ""
    """Why the file cannot be read, empty if it can."""

    is_gone: bool = False
    """Whether the file has disappeared."""


class LiveFile:
    """One config file; `look` costs one system call while nothing changes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._name = str(file)
        self._known: _Signature | None = None
        """Signature of the file that was read last; the empty one if it is gone."""
        self._noticed: _Signature | None = None
        self._noticed_at = 0.0
        self._n_failures = 0

    def look(self) -> FileReading | None:
        """Return what is new since the last look, None if nothing is.

        A file that was changed a moment ago, or is unreadable, is not reported before
        it has settled, or is still unreadable at the next look. Never raises, and never
        waits.
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
        """Return the current content, settled or not, without affecting `look`."""
        try:
            return _read(self.file)
        except (OSError, ValueError) as error:
            raise_of_signal(error)
            return FileReading(problem=str(error), is_gone=not self.is_there)

    def skip(self) -> None:
        """Treat the current file as known, unless it changed a moment ago.

        In that case the next looks read it, so that no later write is missed.
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
        """Whether the path exists, readable or not."""
        return os.path.lexists(self._name)

    def look_again(self) -> None:
        """Make the next look return what the last one returned."""
        self._known = None

    def write(self, text: str) -> None:
        """Replace the file; the next looks read it. OSError if that fails."""
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
        # A copy may keep the time of its original, but no program can set a ctime.
        changed_at = max(status.st_mtime, status.st_ctime)
        if wall_time() - changed_at >= SETTLED_SECONDS:
            return True
        # The disk's clock, or this machine's, may be wrong: then looks are counted
        # instead.
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
        # If it was changed while it was read, its signature differs at the next look.
        self._known = signature
        return reading


def _signature_of(status: os.stat_result) -> _Signature:
    return status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino


def _read(file: Path) -> FileReading:
    """Return the content of ``file``. ConfigError, or OSError if it is not a file."""
    form = config_format_of(file)
    try:
        text = read_text(file)
        # An empty file means all defaults elsewhere; here it is a half-written file.
        if not text.strip():
            raise ConfigSyntaxError("the file is empty")
        return FileReading(tree=form.read(text), text=text)
    except ConfigSyntaxError as error:
        raise error.within(file.name) from None
