"""The terminal as rich sees it: its width, and a bar for what takes long."""

import os
import sys
import textwrap
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_UNBOUNDED = 10_000
"""Columns of what is not a terminal: a file and a pipe take lines of any length."""

_PATIENCE = 1.0
"""Seconds before a bar is shown."""


def console() -> "Console":
    """Return the output as a console that shows text as it is, without markup."""
    from rich.console import Console

    is_sized = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return Console(
        file=sys.stdout,
        width=None if is_sized else _UNBOUNDED,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_line(output: "Console", line: str) -> None:
    """Print a line of facts, the rest of a long one set in; heads are bold."""
    is_head = not line.startswith(" ")
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    rows = textwrap.wrap(
        line, output.width, subsequent_indent=indent, break_on_hyphens=False
    )
    for row in rows:
        output.print(row, style="bold" if is_head else "", soft_wrap=True)


@contextmanager
def progress_bar(verb: str, file: str, total: int) -> Generator[Callable[[int], None]]:
    """Give a function that takes how many bytes more are done to ``file``.

    The bar is drawn once that takes over a second, if a person looks at it.
    """
    if not (sys.stderr.isatty() and total):
        yield lambda count: None
        return
    bar = _Bar(verb, file, total)
    try:
        yield bar.advance
    finally:
        bar.end()


@contextmanager
def saving_bar(
    verb: str, file: str
) -> Generator[Callable[[int, int, str], None] | None]:
    """Give a ``progress=`` that draws as `progress_bar` does; None for nobody.

    Before it is called, while a large file is opened, the bar only moves.
    """
    if not sys.stderr.isatty():
        yield None
        return
    bar = _Bar(verb, file, 0)

    def progress(n_done: int, total: int, path: str) -> None:
        bar.set(n_done, total)

    try:
        yield progress
    finally:
        bar.end()


class _Bar:
    """A bar that a thread shows after a while: what is opened tells nothing meanwhile.

    Until something is told it only moves.
    """

    def __init__(self, verb: str, file: str, total: int) -> None:
        name = os.path.basename(file.rstrip("/")) or file
        self._label = f"{verb} {printable(name)}"
        self._total, self._n_done = total, 0
        self._bar: Progress | None = None
        self._has_ended = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(_PATIENCE, self._show)
        self._timer.daemon = True
        self._timer.start()

    def advance(self, count: int) -> None:
        self.set(self._n_done + count, self._total)

    def set(self, n_done: int, total: int) -> None:
        self._n_done, self._total = n_done, total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=n_done, total=total)

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._has_ended = True
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        from rich import progress
        from rich.console import Console

        bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.percentage:>3.0f}%"),
            progress.TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        bar.add_task(self._label, completed=self._n_done, total=self._total or None)
        with self._lock:
            if not self._has_ended:
                bar.start()
                self._bar = bar
