"""Errors as the commands print them: the message, or the user's part of a traceback.

Between ``burnish fit`` and a line of a user's model are frames of Hydra, Lightning and
torch, which hide the line with the mistake.
"""

import os
import sys
import sysconfig
import traceback
from types import FrameType
from typing import Any

from ..printable import printable_lines

ALL_FRAMES_VARIABLE = "BURNISH_TRACEBACK"
"""If set, whole tracebacks are printed, with the frames of libraries."""

_OURS = "burnish"
_CALLERS = frozenset(
    ["hydra", "lightning", "lightning_utilities", "omegaconf", "pydantic", "torch"]
)
"""Packages that call users' code, and that may be installed in editable mode."""

_STDLIB = sysconfig.get_path("stdlib") + os.sep
_IN_WORDS = (ValueError, TypeError, OSError, ImportError, ArithmeticError)


def error_text(error: BaseException) -> str:
    """Return the text about ``error`` after the word "error:".

    Errors of ours and of the system are shown by their message. Any other is shown with
    its traceback from the user's first line on, or with its type and location if no
    line of the user took part.
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
    """Print `error_text` on stderr, with control characters escaped."""
    print_error_text(error_text(error))


def print_error_text(text: str) -> None:
    """Print an error message on stderr, with control characters escaped."""
    print(f"error: {printable_lines(text)}", file=sys.stderr)


def _is_worded(error: BaseException) -> bool:
    """Return whether ``error`` is a wrong argument that our own code refused."""
    frames = _frames(error)
    is_ours = not frames or _package_of(frames[-1]) == _OURS
    return is_ours and isinstance(error, _IN_WORDS)


def _from_user_on(error: BaseException) -> traceback.TracebackException:
    """Return the tracebacks of ``error`` and its causes, from the user's lines on."""
    report = traceback.TracebackException.from_exception(error)
    visited: set[int] = set()

    def trim(part: traceback.TracebackException | None, of: Any) -> None:
        if part is None or of is None or id(of) in visited:
            return
        visited.add(id(of))
        n = _n_library_frames(of)
        # Without a line of the user there would be no location.
        if n < len(part.stack):
            del part.stack[:n]
        trim(part.__cause__, of.__cause__)
        trim(part.__context__, of.__context__)

    trim(report, error)
    return report


def _traceback_text(report: traceback.TracebackException) -> str:
    return "".join(report.format()).strip()


def _n_library_frames(error: BaseException) -> int:
    """Return the number of frames before the user's first one.

    Code that is not installed is the user's; if all is installed, code outside of the
    libraries that call users' code.
    """
    frames = _frames(error)
    # The user's package may be installed: then all frames are of installed code, and
    # libraries that only call it are recognized by name.
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
    # A module that is run as a program is called __main__, even inside a package.
    names = frame.f_globals
    return _package(names.get("__package__") or names.get("__name__") or "")


def _package(name: str) -> str:
    return name.partition(".")[0]


def _place(error: BaseException) -> str:
    """Return a line with the location where ``error`` was raised, if it has a file."""
    entries = [*traceback.walk_tb(error.__traceback__)]
    file = entries[-1][0].f_code.co_filename if entries else "<"
    if file.startswith("<"):
        return ""
    place = f"{file}, line {entries[-1][1]}"
    return f"\n({place}; {ALL_FRAMES_VARIABLE}=1 shows the full traceback)"
