"""The message of the first process of a run to each other one that it starts."""

import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARK = "BURNISH_FIT_PROCESS"
"""The environment variable that marks a process started by another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRun:
    """Everything a process needs to take part in a run, instead of arguments."""

    tree: dict[str, Any]
    """The whole config, so that random values in it are drawn only once."""

    folder: str
    import_path: list[str]
    """The folders of the user's modules."""

    def line(self) -> bytes:
        """Return it as one line of text, for a pipe."""
        content = [self.tree, self.folder, self.import_path]
        return json.dumps(content).encode() + b"\n"

    @classmethod
    def receive(cls) -> "SentRun":
        """Return what the first process sent; this one ends when that one does."""
        stream = sys.stdin.buffer
        tree, folder, import_path = json.loads(stream.readline())

        def end_with_the_first() -> None:
            # Nothing else is sent: the pipe ends when its other end does, even by a
            # kill. A buffered reader would be locked while this waits, and Python's
            # exit needs its lock.
            os.read(stream.fileno(), 1)
            os._exit(1)

        threading.Thread(target=end_with_the_first, daemon=True).start()
        return cls(tree=tree, folder=folder, import_path=import_path)

    def enter(self) -> Path:
        """Find modules where the first process does, and return the run's folder."""
        sys.path += [place for place in self.import_path if place not in sys.path]
        return Path(self.folder)


def is_first_process() -> bool:
    """Return whether this is the process that writes files, and started all others."""
    return MARK not in os.environ
