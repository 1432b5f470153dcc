"""The system's C compiler: found once, and run only for new sources."""

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from ....config.process.interrupts import raise_of_signal
from ....config.process.log import LOG
from ....config.storage.opening import read_file
from ....config.storage.replacement import write_file

# Vectorization needs the promises about errno and traps. -ffast-math would go further,
# reorder sums and lose NaN; and contraction, which GCC does by default, would round
# once where torch rounds twice.
FLAGS = [
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-shared",
    "-fPIC",
    "-pthread",
]
# Not every compiler knows this option, so a failure is retried without it.
_WIDE = ["-mprefer-vector-width=512"]
_MOST_BYTES = 1 << 28


class CompileError(Exception):
    """A source could not be compiled; the message says why."""


def load_library(source: str) -> ctypes.CDLL:
    """Return the library compiled from ``source``, from the cache if it is there.

    Raises CompileError.
    """
    compiler = _compiler()
    if compiler is None:
        raise CompileError(
            "no C compiler found (looked at $CC, cc, gcc, clang); install one"
        )
    folder = _folder()
    file = folder / f"{_key(source, compiler)}.so"
    if not _is_whole(file):
        _compile(compiler, source, file)
        LOG.debug("%s: compiled by %s", file, compiler)
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise_of_signal(error)
        raise CompileError(f"the compiled program cannot be loaded: {error}") from error


@cache
def _compiler() -> str | None:
    candidates = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    return next(
        (
            executable
            for name in candidates
            if name and (executable := shutil.which(name))
        ),
        None,
    )


def _folder() -> Path:
    """Return the folder of compiled programs, to which only this user may write."""
    base = os.environ.get("BURNISH_CACHE")
    if base is None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        base = os.path.join(home, "burnish")
    folder = Path(base) / "programs"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise_of_signal(error)
        raise CompileError(f"the cache folder cannot be created: {error}") from error
    # A loaded library runs with all rights of the process: anyone who can write to the
    # folder could have their own code run.
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise CompileError(
            f"the cache folder {folder} can be written by others; set its mode to 700, "
            "or name another in $BURNISH_CACHE"
        )
    return folder


def _key(source: str, compiler: str) -> str:
    # An updated compiler keeps its path, so size and time represent its version.
    # -march=native makes the processor part of the key: a home folder may be shared,
    # and on another machine the program would crash with an illegal instruction.
    binary = os.stat(os.path.realpath(compiler))
    version = f"{os.path.realpath(compiler)} {binary.st_size} {binary.st_mtime_ns}"
    parts = [source, *FLAGS, *_WIDE, version, _cpu()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@cache
def _cpu() -> str:
    """Return an identifier of this processor among those that share the cache."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError as error:
        raise_of_signal(error)
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    prefixes = ("model name", "flags", "Features", "CPU part")
    lines = {line for line in text.splitlines() if line.startswith(prefixes)}
    return platform.machine() + "".join(sorted(lines))


def _is_whole(file: Path) -> bool:
    """Whether ``file`` is complete; loading a truncated library can crash."""
    try:
        content = read_file(file, _MOST_BYTES)
        return _sum(content) == read_file(file.with_suffix(".sum"), 1000)
    except OSError as error:
        raise_of_signal(error)
        return False


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _compile(compiler: str, source: str, file: Path) -> None:
    try:
        with tempfile.TemporaryDirectory() as scratch:
            library = Path(scratch) / "program.so"
            source_file = Path(scratch) / "program.c"
            source_file.write_text(source)
            problems = [
                problem
                for flags in ([*FLAGS, *_WIDE], FLAGS)
                if not library.exists()
                and (
                    problem := _run(
                        [compiler, *flags, str(source_file), "-o", str(library), "-lm"]
                    )
                )
            ]
            if not library.exists():
                raise CompileError(f"{compiler} failed: {problems[-1][:300]}")
            content = library.read_bytes()
            write_file(file, content)
            # The checksum is written last: a library without it, after an interrupt, is
            # compiled again.
            write_file(file.with_suffix(".sum"), _sum(content))
    except OSError as error:
        raise_of_signal(error)
        raise CompileError(f"the cache folder cannot be written: {error}") from error


def _run(command: list[str]) -> str:
    """Return the compiler's error message, empty if there is none."""
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise_of_signal(error)
        return str(error)
    return (
        process.stderr.strip() or f"exit status {process.returncode}"
        if process.returncode
        else ""
    )
