"""The output and error streams of a command, at which nobody may be looking any more.

``burnish schema check | head`` goes on to its verdict when ``head`` has gone, and a
training run to its end when the disk of its log is full: only the text is lost.
"""

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TextIO

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended."""


class Output:
    """A text stream that takes whatever is written, and notes what became of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        """Why the text since then is lost."""

    def write(self, text: str) -> int:
        """Write ``text``, or drop it if the stream takes none."""
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what is still on its way."""
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _attempt(self, act: Callable[[], object]) -> None:
        if self.error is not None:
            return
        try:
            act()
        except OSError as error:
            self.error = error
            self._drop_the_rest()

    def _drop_the_rest(self) -> None:
        """Let what the stream still holds go nowhere, at the program's end too."""
        try:
            number = self._stream.fileno()
        except (OSError, ValueError, AttributeError):  # a stream without a file
            return
        # Python flushes at its exit once more, and would fail with a traceback there.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def run_command(act: Callable[[], int]) -> int:
    """Return the exit status that ``act`` returns, whatever its streams are.

    It is 130 after Ctrl-C, and 2 if the output could not be written; a reader that
    has gone (`| head`) is not an error.
    """
    with taking_any_text() as output:
        try:
            status = act()
        except KeyboardInterrupt:
            return INTERRUPTED
        # What cannot be written is noticed here, and not once nobody can tell it.
        output.flush()
        if output.error is None or isinstance(output.error, BrokenPipeError):
            return status
        reason = f"the output cannot be written: {output.error}"
        print(f"error: {reason}", file=sys.stderr)
        return 2


def hides_interrupt(error: BaseException | None) -> bool:
    """Return whether ``error`` was raised while Ctrl-C was on its way up.

    A clean-up that was cut off before it began may fail so, as that of argparse does.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def taking_any_text() -> Generator[Output]:
    """Have an output stream, which is given, and an error stream that cannot fail."""
    _open_numbers()
    before = sys.stdout, sys.stderr
    output, errors = (Output(_of_any_text(stream)) for stream in before)
    streams: Any = output, errors
    sys.stdout, sys.stderr = streams
    try:
        yield output
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before


def _open_numbers() -> None:
    # With `>&-` a file would get the number 1 or 2, and what is printed.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def _of_any_text(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
