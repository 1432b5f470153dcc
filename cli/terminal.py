"""The terminal as rich sees it: its width, and progress bars."""

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
"""Width of files and pipes, which take lines of any length."""

_PATIENCE = 1.0
"""Seconds before a progress bar is shown."""


def console() -> "Console":
    """Return a console for the output that prints text as it is, without markup."""
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
    """Print a line of facts with a hanging indent and a bold heading."""
    is_head = not line.startswith(" ")
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    rows = textwrap.wrap(
        line, output.width, subsequent_indent=indent, break_on_hyphens=False
    )
    for row in rows:
        output.print(row, style="bold" if is_head else "", soft_wrap=True)


@contextmanager
def progress_bar(verb: str, file: str, total: int) -> Generator[Callable[[int], None]]:
    """Yield a function that takes how many further bytes of ``file`` are done.

    The bar appears after a second, and only in a terminal.
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
    """Yield a ``progress=`` that draws like `progress_bar`; None outside a terminal.

    Until it is first called, while a large file is opened, the bar only pulses.
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
    """A bar shown by a thread after a delay, since opening a file reports no progress.

    Until progress is reported it only pulses.
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
