"""Folders that appear whole or not at all, each the state of a run at one point."""

import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..records.scratch import (
    abandoned,
    explained,
    make_locked,
    scratch_name,
    sync_folder,
    taken_over,
)

DIGITS = 12
"""Of the number in a folder's name, so that names sort as numbers do."""

LATEST = "latest-"
"""Stands before the name of the newest folder, where that is marked."""

_RETIRED = ".old"
_RETIRED_NAME = re.compile(r"\.(.+)\.[0-9a-f]{8}\.old")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The folders of one run: which there are, and how a new one comes to be."""

    root: Path
    """Where they lie."""
    key: str = "step"
    """What the number counts; the name is this and 12 digits."""
    marker: str = ""
    """The file without which a folder is not one of them."""

    def name(self, number: int) -> str:
        """Return the folder's name for ``number``."""
        return f"{self.key}{number:0{DIGITS}d}"

    def found(self) -> dict[int, Path]:
        """Return the complete folders by number, in order; recover what a kill left."""
        self._recover()
        pattern = re.compile(rf"(?:{LATEST})?{re.escape(self.key)}(\d{{{DIGITS},}})")
        found: dict[int, Path] = {}
        with suppress(FileNotFoundError, NotADirectoryError):
            for entry in sorted(os.scandir(self.root), key=lambda e: e.name):
                match = pattern.fullmatch(entry.name)
                if match and (self.root / entry.name / self.marker).exists():
                    found[int(match[1])] = Path(entry.path)
        return dict(sorted(found.items()))

    def remove(self, folder: Path) -> None:
        """Remove a folder: first its name, then what it holds."""
        remove_folder(folder)

    def retire(self, newest: Path, *, keep: int) -> None:
        """Take ``latest-`` from all names but ``newest``'s; remove all but ``keep``."""
        self.remove(newest.with_name(newest.name.removeprefix(LATEST)))
        older = [folder for folder in self.found().values() if folder != newest]
        for folder in older[: max(len(older) - keep, 0)]:
            self.remove(folder)
        for folder in older[max(len(older) - keep, 0) :]:
            if folder.name.startswith(LATEST):
                os.rename(folder, folder.with_name(folder.name.removeprefix(LATEST)))

    def sweep(self) -> None:
        """Remove what killed saves left half-written."""
        self._recover()
        for name in (f"{self.key}*", f"{LATEST}{self.key}*"):
            for scratch in abandoned(str(self.root), name):
                shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def new(self, name: str) -> Generator[Path]:
        """Give an empty folder that gets ``name`` at the end, replacing an older one.

        If the block raises, nothing is left of it, and the older one is as it was.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with committed(self.root / name) as scratch:
                yield scratch
        except OSError as error:
            raise explained(error, str(self.root / name)) from error

    def _recover(self) -> None:
        """Give a replaced folder its name back if its replacement never got there."""
        with suppress(OSError):
            recover(self.root)


@contextmanager
def committed(folder: Path) -> Generator[Path]:
    """Give an empty folder that takes the place of ``folder`` when the block ends."""
    root = str(folder.parent)
    fd, scratch = make_locked(root, folder.name, _make_folder)
    try:
        yield Path(scratch)
        _sync_files(scratch)
        _put(scratch, folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    finally:
        os.close(fd)


def remove_folder(folder: Path) -> None:
    """Remove ``folder`` at once for those who look for it, and then what it holds."""
    doomed = scratch_name(str(folder.parent), folder.name)
    with suppress(FileNotFoundError):
        os.rename(folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def recover(root: Path) -> None:
    """Finish or undo the replacements in ``root`` whose writers were killed."""
    for entry in os.scandir(root):
        match = _RETIRED_NAME.fullmatch(entry.name)
        if match is None:
            continue
        name = match[1]
        with suppress(OSError), taken_over(entry.path) as is_free:
            if not is_free:
                continue
            if os.path.lexists(root / name):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.rename(entry.path, root / name)


def _put(scratch: str, folder: Path) -> None:
    """Rename ``scratch`` to ``folder``; an older folder waits under another name."""
    root = str(folder.parent)
    if not folder.is_dir():
        os.rename(scratch, folder)
        sync_folder(root)
        return
    retired = scratch_name(root, folder.name).removesuffix(".tmp") + _RETIRED
    # Locked, so that nobody recovers it between the two renames.
    with taken_over(str(folder)):
        os.rename(folder, retired)
        try:
            os.rename(scratch, folder)
        except BaseException:
            os.rename(retired, folder)
            raise
        sync_folder(root)
        shutil.rmtree(retired, ignore_errors=True)


def _make_folder(path: str) -> int:
    os.mkdir(path)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sync_files(folder: str) -> None:
    """Put everything on the disk; of the records it is there already."""
    for entry in os.scandir(folder):
        if not entry.is_file(follow_symlinks=False):
            continue
        fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    sync_folder(folder)
