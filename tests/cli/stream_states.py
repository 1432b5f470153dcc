"""A command in a process of its own with a stream that is closed, full or gone."""

import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.cli.main import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What a command left: its exit status, its texts, and the files of its folder."""

    status: int
    output: str
    errors: str
    files: frozenset[str]


def _close(number: int) -> Callable[[], object]:
    return lambda: os.close(number)


def _fill(number: int) -> Callable[[], object]:
    return lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), number)


def _leave(*numbers: int) -> Callable[[], object]:
    """Return what makes the ends of pipes whose reader has gone of ``numbers``."""

    def leave() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        for number in numbers:
            os.dup2(writing, number)

    return leave


def _change_nothing() -> None:
    pass


STATES: Mapping[str, Callable[[], object]] = {
    "as usual": _change_nothing,
    "no input": _close(0),
    "no output": _close(1),
    "no errors": _close(2),
    "no streams": lambda: os.closerange(0, 3),
    "the reader has gone": _leave(1),
    "both readers have gone": _leave(1, 2),
    "a full disk": _fill(1),
    "a full disk for errors": _fill(2),
    "no terminal": os.setsid,
}
"""What is done to the numbers 0 to 2 before the command begins."""


def ending(words: Sequence[str], state: str, folder: Path) -> Ending:
    """Run ``burnish`` with ``words`` in ``folder``, and return how it ended."""
    texts = [folder.parent / f"{folder.name}.{name}" for name in ("output", "errors")]
    with warnings.catch_warnings():
        # Of other threads, which hold no lock that a command takes.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _be_a_command(words, state, folder, texts)
    _, waited = os.waitpid(child, 0)
    output, errors = (file.read_text(errors="replace") for file in texts)
    return Ending(
        status=os.waitstatus_to_exitcode(waited),
        output=output,
        errors=errors,
        files=frozenset(file.name for file in folder.iterdir()),
    )


def _be_a_command(
    words: Sequence[str], state: str, folder: Path, texts: list[Path]
) -> None:
    """Do as Python does with a program, and end the process."""
    status = 1
    try:
        os.chdir(folder)
        for number, file in enumerate(texts, 1):
            os.dup2(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
        STATES[state]()
        sys.stdin, sys.stdout, sys.stderr = _stream(0), _stream(1), _stream(2)
        status = main(words)
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except BaseException:  # the test sees it
        status = 120
        traceback.print_exc()
    finally:
        # Nothing of the tests may run in the child: no exit handler.
        os._exit(status)


def _stream(number: int) -> io.TextIOWrapper:
    try:
        os.fstat(number)
    except OSError:
        absent: io.TextIOWrapper = None  # type: ignore[assignment]  # as Python has it
        return absent
    mode = "rb" if number == 0 else "wb"
    binary = open(number, mode, closefd=False)  # noqa: SIM115  # until the end
    return io.TextIOWrapper(binary, encoding="ascii", line_buffering=number == 2)
