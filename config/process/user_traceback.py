"""An error as the command tells it: in words, or from the user's own lines on.

Between ``burnish fit`` and a line of a user's model stand frames of Hydra, Lightning
and torch, in which nobody finds the mistake in that line.
"""

import os
import sys
import sysconfig
import traceback
from types import FrameType
from typing import Any

from ..printable import printable_lines

ALL_FRAMES_VARIABLE = "BURNISH_TRACEBACK"
"""Set to anything, it lets the whole traceback be told, of libraries too."""

_OURS = "burnish"
_CALLERS = frozenset(
    ["hydra", "lightning", "lightning_utilities", "omegaconf", "pydantic", "torch"]
)
"""Packages that call what users wrote, which may be installed as they are."""

_STDLIB = sysconfig.get_path("stdlib") + os.sep
_IN_WORDS = (ValueError, TypeError, OSError, ImportError, ArithmeticError)


def error_text(error: BaseException) -> str:
    """Return what is told of ``error`` after the word "error:".

    Errors of ours and of the system are their message. Any other is told with its
    traceback from the first line of the user's on, or with its type and its place
    where none of the user's lines took part.
    """
    if ALL_FRAMES_VARIABLE in os.environ:
        return _traceback_text(traceback.TracebackException.from_exception(error))
    if _package(type(error).__module__) == _OURS:
        return str(error)
    if _n_library_frames(error) < len(_frames(error)):
        head = f"{type(error).__qualname__} in your code:\n"
        return head + _traceback_text(_from_user_on(error))
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError | ImportError) or _is_worded(error):
        return str(error)
    summary = "".join(traceback.format_exception_only(error)).strip()
    return f"{summary}{_place(error)}"


def print_error(error: BaseException) -> None:
    """Print `error_text` on stderr; no name in it steers the terminal."""
    print_error_text(error_text(error))


def print_error_text(text: str) -> None:
    """Print what went wrong on stderr; nothing in it steers the terminal."""
    print(f"error: {printable_lines(text)}", file=sys.stderr)


def _is_worded(error: BaseException) -> bool:
    """Return whether ``error`` is a wrong argument that our own code refused."""
    frames = _frames(error)
    is_ours = not frames or _package_of(frames[-1]) == _OURS
    return is_ours and isinstance(error, _IN_WORDS)


def _from_user_on(error: BaseException) -> traceback.TracebackException:
    """Return what ``error`` and its causes tell, each from the user's lines on."""
    report = traceback.TracebackException.from_exception(error)
    visited: set[int] = set()

    def trim(part: traceback.TracebackException | None, of: Any) -> None:
        if part is None or of is None or id(of) in visited:
            return
        visited.add(id(of))
        n = _n_library_frames(of)
        # What no line of the user's took part in would be told without a place.
        if n < len(part.stack):
            del part.stack[:n]
        trim(part.__cause__, of.__cause__)
        trim(part.__context__, of.__context__)

    trim(report, error)
    return report


def _traceback_text(report: traceback.TracebackException) -> str:
    return "".join(report.format()).strip()


def _n_library_frames(error: BaseException) -> int:
    """Return how many frames stand before the first one of the user's.

    What is not installed is the user's; where all is, what runs nobody's code.
    """
    frames = _frames(error)
    # A user may have installed their package: then all frames are of installed code,
    # and libraries that only call it are told apart by name.
    is_candidate = [not _is_installed(frame) for frame in frames]
    if not any(is_candidate):
        is_candidate = [_package_of(frame) not in _CALLERS for frame in frames]
    is_user = [
        is_candidate[i] and not _is_of_program(frame) for i, frame in enumerate(frames)
    ]
    return is_user.index(True) if True in is_user else len(frames)


def _frames(error: BaseException) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _is_installed(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    is_package = "site-packages" in file or "dist-packages" in file
    return is_package or _is_of_program(frame)


def _is_of_program(frame: FrameType) -> bool:
    """Return whether the frame is of Burnish or of Python."""
    file = frame.f_code.co_filename
    is_stdlib = file.startswith(_STDLIB) and "-packages" not in file
    return is_stdlib or file.startswith("<frozen") or _package_of(frame) == _OURS


def _package_of(frame: FrameType) -> str:
    # A module that is run as a program is called __main__, in a package or not.
    names = frame.f_globals
    return _package(names.get("__package__") or names.get("__name__") or "")


def _package(name: str) -> str:
    return name.partition(".")[0]


def _place(error: BaseException) -> str:
    """Return a line that says where ``error`` was raised, if a file can be named."""
    entries = [*traceback.walk_tb(error.__traceback__)]
    file = entries[-1][0].f_code.co_filename if entries else "<"
    if file.startswith("<"):
        return ""
    place = f"{file}, line {entries[-1][1]}"
    return f"\n({place}; {ALL_FRAMES_VARIABLE}=1 shows the full traceback)"
