"""The origin of a run: versions, the commit, the date, the command line."""

import platform
import shlex
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from ...config.process.interrupts import raise_of_signal
from ...config.short_text import quantity

_PACKAGES = ("burnish", "torch", "lightning", "numpy")
_MOST_SECONDS = 3.0


def origin_of_run() -> dict[str, str]:
    """Return what is needed to repeat the run; unknown facts are left out."""
    facts = {"begun": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")}
    if sys.argv:
        facts["command"] = shlex.join(sys.argv)
    commit = _commit()
    if commit:
        facts["git commit"] = commit
    packages = {"python": platform.python_version()} | {
        name: text for name in _PACKAGES if (text := _version(name))
    }
    facts["versions"] = ", ".join(f"{name} {text}" for name, text in packages.items())
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """Return the commit of the program's folder, and whether there are changes."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return ""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    n = len(changes.splitlines())
    return f"{commit[:12]}, {quantity(n, 'file')} changed since" if n else commit[:12]


def _git(*words: str) -> str:
    try:
        answer = subprocess.run(
            ["git", *words], capture_output=True, text=True, timeout=_MOST_SECONDS
        )
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise_of_signal(error)
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
