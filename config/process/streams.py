"""The output and error streams of a command, whose readers may have gone.

``burnish schema check | head`` finishes its check when ``head`` has exited, and a
training run continues when the disk of its log is full: only the text is lost.
"""

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TextIO

INTERRUPTED = 130
"""The exit status of a command interrupted by Ctrl-C."""


class Output:
    """A text stream that accepts all text, and records whether it was written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        """Why text was lost; None if none was."""

    def write(self, text: str) -> int:
        """Write ``text``, or drop it if the stream fails."""
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write buffered text."""
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
        """Discard what the stream still buffers, also at the end of the program."""
        try:
            number = self._stream.fileno()
        except (OSError, ValueError, AttributeError):  # a stream without a file
            return
        # Python flushes once more at exit, and would fail with a traceback there.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def run_command(act: Callable[[], int]) -> int:
    """Return the exit status of ``act``, whatever happens to its streams.

    It is 130 after Ctrl-C, and 2 if the output could not be written; a reader that has
    exited (`| head`) is not an error.
    """
    with taking_any_text() as output:
        try:
            status = act()
        except KeyboardInterrupt:
            return INTERRUPTED
        # A failure to write is noticed here, where it can still be reported.
        output.flush()
        if output.error is None or isinstance(output.error, BrokenPipeError):
            return status
        reason = f"the output cannot be written: {output.error}"
        print(f"error: {reason}", file=sys.stderr)
        return 2


def hides_interrupt(error: BaseException | None) -> bool:
    """Return whether ``error`` was raised while Ctrl-C was being handled.

    A clean-up interrupted before it began may fail like this, as argparse's does.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def taking_any_text() -> Generator[Output]:
    """Use the given output stream, and an error stream that cannot fail."""
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
    # After `>&-` a new file would get the descriptor 1 or 2, and receive the output.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def _of_any_text(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
