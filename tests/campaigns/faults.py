"""System calls that fail, one after the other, while something is saved.

Every trial is a process of its own, forked from this one, in which the n-th call
fails: a library that is preloaded (faults.c) does that, from outside of Python.
"""

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHORT, KILL = -1, -2
"""As in faults.c: a write takes only a part; the process is killed."""

KINDS = {
    "EIO": (errno.EIO, False),
    "ENOSPC": (errno.ENOSPC, False),
    "EINTR": (errno.EINTR, False),
    "EACCES": (errno.EACCES, False),
    "short write": (SHORT, False),
    "ENOSPC from there on": (errno.ENOSPC, True),
    "kill -9": (KILL, False),
}

LONGEST = 60
"""Seconds after which a trial counts as a hang."""

OLD, NEW, NEXT = 1.0, 2.0, 3.0


@dataclass(frozen=True)
class Scenario:
    """Something that is saved over what was there before."""

    save: Callable[[Path, float], object]
    """Saves what has this value, in a folder."""
    read: Callable[[Path], float]
    """Returns the value of what is there; raises if that is not whole."""


def compiler() -> str | None:
    """Return the C compiler of this machine, None if there is none."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


@contextmanager
def preloaded_library() -> Generator[str]:
    """Give the compiled faults.c. OSError where no compiler makes it."""
    name = compiler()
    if name is None:
        raise OSError("no C compiler found (cc, gcc, clang): calls cannot be failed")
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/faults.so"
        source = str(Path(__file__).with_name("faults.c"))
        command = [name, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        yield library


def run_preloaded(module: str, *arguments: str) -> Any:
    """Run ``python -m module arguments`` with failing calls; return its JSON."""
    with preloaded_library() as library:
        environment = {
            **os.environ,
            "LD_PRELOAD": library,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", module, *arguments]
        root = Path(__file__).parent.parent.parent
        done = subprocess.run(
            command, env=environment, cwd=root, stdout=subprocess.PIPE, text=True
        )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def failed_everywhere(
    scenario: Scenario, kind: str, folder: Path, *, every: int = 1
) -> Counter[str]:
    """Return how often each outcome came, over all calls that can fail.

    Outcomes: "calls", all trials; "old" and "new", what was there afterwards; "lost",
    neither; "error", said in words; "silent", neither an error nor the new; "mute", an
    error without words; "hang"; "litter", not cleaned up by the next save; "next",
    which failed.
    """
    found: Counter[str] = Counter()
    n = 1
    while True:
        outcomes = _trial(scenario, kind, folder, n)
        if "beyond" in outcomes:
            return found
        found.update(outcomes)
        n += every


def _trial(scenario: Scenario, kind: str, folder: Path, n: int) -> list[str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    scenario.save(folder, OLD)
    names = _names(folder)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _run(scenario, kind, folder, n, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as stream:
        said = stream.read().split()
    _, status = os.waitpid(child, 0)
    if "beyond" in said:
        return said
    outcomes = ["calls", *said]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        outcomes.append("hang" if os.WTERMSIG(status) == signal.SIGALRM else "crash")
    value = _value(scenario, folder)
    outcomes.append({OLD: "old", NEW: "new"}.get(value, "lost"))
    if value != NEW and "saved" in said:
        outcomes.append("silent")
    try:
        scenario.save(folder, NEXT)
    except Exception:
        return [*outcomes, "next"]
    if _value(scenario, folder) != NEXT:
        outcomes.append("next")
    if _names(folder) - names - {"step000000000002"}:
        outcomes.append("litter")
    return outcomes


def _run(scenario: Scenario, kind: str, folder: Path, n: int, writer: int) -> None:
    said = "mute"
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST)
    library = ctypes.CDLL(None)
    number, lasts = KINDS[kind]
    try:
        library.fault_arm(ctypes.c_long(n), number, int(lasts))
        scenario.save(folder, NEW)
        said = "beyond" if library.fault_disarm() < n else "saved"
    except BaseException as error:
        count = library.fault_disarm()
        said = "error" if len(str(error)) > 20 and count >= n else "mute"
    finally:
        with suppress(OSError):
            os.write(writer, said.encode())
        os._exit(0)


def _value(scenario: Scenario, folder: Path) -> float:
    try:
        return scenario.read(folder)
    except Exception:
        return -1.0


def _names(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}
