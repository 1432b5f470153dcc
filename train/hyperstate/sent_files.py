"""The files of a checkpoint, sent to the processes of a run by the first of them."""

import json
import os
import stat
from pathlib import Path

from ...config.process.interrupts import raise_of_signal
from ...config.storage.opening import Descriptor, open_regular
from ...records.io.remote.url import Url
from ...records.processes.agreement import agreed
from ...records.processes.messages import (
    broadcast_into,
    broadcast_text,
    is_any,
    n_processes,
)
from ..checkpoints.distributed import is_writer
from .stored_files import StoredFiles

_MOST_BYTES = 16 << 20
"""Bytes of one message, so that no process has a second copy of a large file."""


def sent_files(files: StoredFiles | None) -> StoredFiles | None:
    """Return ``files`` on the first process, and what it sent of them on the others.

    Those hold everything in memory until the state is restored, and read only folders
    of records that several processes wrote together, and storages only for records.
    Raises OSError on all if the first process cannot read a file.
    """
    if n_processes() == 1:
        return files
    is_remote = files is not None and isinstance(files.folder, Url)
    if is_any(is_remote):
        return _located_files(files)
    folder = None if files is None else files.opened
    opened = agreed(lambda: None if folder is None else _open_all(folder))
    sizes = {name: os.fstat(file.fd).st_size for name, file in (opened or {}).items()}
    facts = None
    if files is not None:
        facts = [str(files.folder), sizes, [*filter(files.is_folder, files.names())]]
    answer = json.loads(broadcast_text(json.dumps(facts)))
    if answer is None:
        return None
    contents: dict[str, bytes | bytearray] = {}
    problems: list[Exception] = []
    for name, size in answer[1].items():
        if opened is None:
            contents[name] = _received(size)
        else:
            problems += _send(opened[name], size)
    agreed(lambda: _raise_first(problems))
    if is_writer():
        return files
    folders = frozenset(answer[2])
    return StoredFiles(Path(answer[0]), contents, is_here=False, folders=folders)


def _located_files(files: StoredFiles | None) -> StoredFiles:
    """Return ``files`` of a storage, which each process reads by itself.

    Their texts are those that the first process has read.
    """
    facts = None
    if files is not None:
        texts = {n: bytes(text).decode("latin-1") for n, text in files.contents.items()}
        facts = [str(files.folder), texts]
    url, texts = json.loads(broadcast_text(json.dumps(facts)))
    contents = {n: text.encode("latin-1") for n, text in texts.items()}
    return files or StoredFiles(Url(url), contents)


def _open_all(folder: Descriptor) -> dict[str, Descriptor]:
    """Return the files of a checkpoint, opened so that a removal does no harm."""
    names = [name for name in sorted(os.listdir(folder.fd)) if _is_part(folder, name)]
    return {name: open_regular(name, dir_fd=folder.fd) for name in names}


def _is_part(folder: Descriptor, name: str) -> bool:
    """Return whether ``name`` is a checkpoint's file, not one that a user added.

    Other than regular files are not sent, and reported by the first process, which
    reads them.
    """
    try:
        mode = os.stat(name, dir_fd=folder.fd).st_mode
    except FileNotFoundError:  # it is being removed, or a dangling link
        return False
    return stat.S_ISREG(mode) and name.startswith(_PREFIXES)


_PREFIXES = ("config.", "state.", "rng.", "digests.")


def _send(file: Descriptor, size: int) -> list[Exception]:
    """Send ``size`` bytes whatever happens, and return the error, if any."""
    problem: list[Exception] = []
    for start in range(0, size, _MOST_BYTES):
        message = memoryview(bytearray(min(_MOST_BYTES, size - start)))
        if not problem:
            try:
                _fill(file, message, start)
            except OSError as error:
                raise_of_signal(error)
                problem.append(error)
        broadcast_into(message)
    return problem


def _fill(file: Descriptor, message: memoryview, start: int) -> None:
    n_read = 0
    while n_read < len(message):
        n_more = os.preadv(file.fd, [message[n_read:]], start + n_read)
        if not n_more:
            raise OSError(
                "a file of the checkpoint was truncated while it was being sent"
            )
        n_read += n_more


def _received(size: int) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    for start in range(0, size, _MOST_BYTES):
        broadcast_into(view[start : start + _MOST_BYTES])
    return content


def _raise_first(problems: list[Exception]) -> None:
    if problems:
        raise problems[0]
