"""Atomic replacement of a file by new content."""

import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

from ..process.interrupts import raise_of_signal, suppressed
from ..process.log import LOG
from .opening import Descriptor, open_folder
from .scratch import ScratchPath, remove_abandoned

_MOST_LINKS = 40

_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}
"""Errors of file systems that do not support fsync, such as some network ones."""


@contextmanager
def replacement(path: str | os.PathLike[str]) -> Generator[int]:
    """Yield a descriptor to write to; at the end its content replaces that of ``path``.

    A reader sees the old file or the new one, and after a crash one of them is there.
    If the block raises, the old one is unchanged. Mode, owner, group and attributes of
    the file are kept, and a link still leads to it; other names of the same file (hard
    links) keep the old content. A pipe or a device is written to, and not replaced. A
    file that this user may not write to is not replaced: PermissionError.
    """
    file = os.fsdecode(path)
    with _explain_errors(file):
        status = _status(file)
        if status is not None and not stat.S_ISREG(status.st_mode):
            opened = _irregular(file, status.st_mode)
            try:
                yield opened.fd
            finally:
                opened.close()
            return
        folder, name = _place(file)
        scratch = ScratchPath(folder, name, partial(os.unlink, dir_fd=folder.fd))
        # An interrupt may replace one of the calls of `discard`; the other is still
        # made.
        try:
            try:
                if status is not None and not _may_replace(folder, name):
                    raise _ProtectedError(errno.EACCES, "write-protected", file)
                remove_abandoned(folder, name)
                fd = scratch.make(_opener(folder, is_new=status is None)).fd
                yield fd
                if status is not None:
                    _inherit(fd, status, file)
                # The content is synced before the name, which must not lead to less
                # after a crash.
                os.fsync(fd)
                # The temporary is in the same folder, so renaming it is atomic.
                scratch.rename()
                sync_new_name(folder)
                LOG.debug("%s: written", file)
            finally:
                scratch.discard()
        finally:
            scratch.discard()
            folder.close()


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the content of the file ``path`` by ``data``, as `replacement` does."""
    with replacement(path) as fd:
        write_all(fd, data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace the content of the file ``path`` by ``text`` in UTF-8."""
    write_file(path, text.encode())


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of ``data``, in as many calls as needed."""
    view = memoryview(data).cast("B")
    while view:
        n_written = os.write(fd, view)
        if not n_written:
            raise OSError(errno.EIO, "the file accepts no more bytes")
        view = view[n_written:]


def sync_folder(folder: Descriptor) -> None:
    """Sync the names in ``folder`` to the disk, if its file system supports that."""
    try:
        os.fsync(folder.fd)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


class _UnsureNameError(OSError):
    """A new name exists, but could not be synced to the disk."""


def sync_new_name(folder: Descriptor) -> None:
    """Do the same after something in ``folder`` has got its final name.

    For these errors `explain_os_error` does not claim that nothing has changed.
    """
    try:
        sync_folder(folder)
    except OSError as error:
        raise_of_signal(error)
        raise _UnsureNameError(error.errno, error.strerror) from error


def make_folder(path: str) -> None:
    """Create a folder with its parents; an OSError explains what to do instead."""
    refuse_home_sign(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno == errno.EEXIST:
            # For existing folders this is not an error.
            raise NotADirectoryError(errno.ENOTDIR, _obstacle(path), path) from error
        raise explain_os_error(error, path) from error


def refuse_home_sign(path: str) -> None:
    """Raise FileNotFoundError for a new folder called ``~``, which is never meant."""
    folder, sign, _ = f"{path}/".partition("~/")
    is_sign = bool(sign) and (not folder or folder.endswith("/"))
    if is_sign and not os.path.lexists(f"{folder}~"):
        raise FileNotFoundError(
            errno.ENOENT,
            "Python does not expand ~ to the home folder; use os.path.expanduser(path)",
            path,
        )


def _obstacle(path: str) -> str:
    """Describe what exists where a folder should be."""
    if os.path.islink(path) and not os.path.exists(path):
        return f"a link to {os.readlink(path)}, which is missing; create that folder"
    return "something other than a folder is in the way; name another folder"


@contextmanager
def new_folder(path: str) -> Generator[None]:
    """Create a folder for the files of the block, and remove it if it stays empty.

    Existing folders are kept. An OSError explains what to do instead.
    """
    new_folders: list[str] = []
    folder = path
    while folder and not os.path.lexists(folder):
        new_folders.append(folder)
        folder = os.path.dirname(folder)
    if path:
        make_folder(path)
    try:
        yield
    finally:
        for folder in new_folders:
            with suppressed(OSError):  # it contains what was written
                os.rmdir(folder)


def explain_os_error(error: OSError, path: str) -> OSError:
    """Return ``error`` with a message that says what to do about ``path``."""
    folder = os.path.dirname(path) or "."
    stays = "what was saved there before is unchanged"
    is_missing = f"the folder {folder} does not exist; create it first"
    if path.startswith("~"):
        is_missing = (
            f"the folder {folder} does not exist. Python does not expand ~ to "
            "the home folder; use os.path.expanduser(file)"
        )
    words = {
        errno.ENOENT: is_missing,
        errno.ENOTDIR: f"{folder} is not a folder; name another one",
        errno.EACCES: f"the folder {folder} is not writable",
        errno.EPERM: f"the folder {folder} does not allow this",
        errno.EROFS: f"the folder {folder} is read-only",
        errno.EISDIR: "a folder is in the way; remove it or write elsewhere",
        errno.ENOSPC: f"the disk is full; {stays}",
        errno.EDQUOT: f"the disk quota is used up; {stays}",
        errno.EFBIG: "the file would be larger than the system allows (see ulimit -f); "
        f"{stays}",
        errno.EIO: "the disk reports an error: the file is the old one or the new",
        errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
        errno.ELOOP: "it is a link that leads back to itself; remove it",
        errno.ENXIO: "no program is reading from it; start the reader first",
    }.get(error.errno or 0)
    if isinstance(error, _ProtectedError):
        words = (
            "the file is write-protected; allow writing (chmod u+w) or choose "
            "another name"
        )
    if isinstance(error, _UnsureNameError):
        words = (
            f"the disk reports an error ({error.strerror}) after the new content was "
            "put in place: after a crash, either the old or the new may be there"
        )
    return OSError(error.errno, words or f"{error.strerror}; {stays}", path)


@contextmanager
def _explain_errors(path: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        # An error that names another file is not about this one.
        is_another = error.filename is not None and not _is_ours(error.filename, path)
        if is_another or error.errno is None:
            raise
        raise explain_os_error(error, path) from error


def _is_ours(name: object, path: str) -> bool:
    """Return whether ``name`` is this file, its folder or one of its temporaries."""
    head = os.path.dirname(path) or "."
    return name in (path, os.path.basename(path), head) or str(name).endswith(".tmp")


def _status(file: str) -> os.stat_result | None:
    try:
        return os.stat(file)
    except FileNotFoundError:
        return None


class _ProtectedError(OSError):
    """The existing file may not be written to."""


def _may_replace(folder: Descriptor, name: str) -> bool:
    """Return False for a read-only file in a writable folder.

    Replacing a file needs no permission for the file itself. It is required here all
    the same, since a user who has removed it (chmod a-w) wants to keep the content.
    """
    is_effective = os.access in os.supports_effective_ids
    may = partial(os.access, dir_fd=folder.fd, effective_ids=is_effective)
    is_there = may(name, os.F_OK)  # it was not removed in the meantime
    return may(name, os.W_OK) or not is_there or not may(".", os.W_OK)


def _irregular(file: str, mode: int) -> Descriptor:
    """Open the pipe or device ``file`` without waiting for a reader."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a folder is in the way", file)
    opened = Descriptor(file, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(opened.fd, True)
    return opened


def _place(file: str) -> tuple[Descriptor, str]:
    """Return the folder of ``file`` and its name there, with all links resolved."""
    folder, name = os.path.split(file.rstrip("/") or file)
    parent = open_folder(folder)
    for _ in range(_MOST_LINKS):
        if name in ("", ".", ".."):
            raise IsADirectoryError(errno.EISDIR, "a folder is in the way", file)
        try:
            target = os.readlink(name, dir_fd=parent.fd)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return parent, name
            raise
        folder, name = os.path.split(target)
        try:
            parent = open_folder(folder, dir_fd=parent.fd)
        except FileNotFoundError as error:
            words = f"{file} is a link to it, and its folder does not exist; create it"
            raise FileNotFoundError(errno.ENOENT, words, target) from error
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), file)


def _opener(folder: Descriptor, *, is_new: bool) -> Callable[[str], Descriptor]:
    # A replacement is accessible only to its owner until it gets the mode of the old
    # file.
    mode = 0o666 if is_new else 0o600
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    return lambda scratch: Descriptor(scratch, flags, mode, dir_fd=folder.fd)


def _inherit(fd: int, old_status: os.stat_result, file: str) -> None:
    """Give a new file the owner, the mode and the attributes of the old one.

    Attributes that this user may not set are left as they are.
    """
    new_status = os.fstat(fd)
    mode = stat.S_IMODE(old_status.st_mode)
    if (new_status.st_uid, new_status.st_gid) != (old_status.st_uid, old_status.st_gid):
        for owner in ((old_status.st_uid, -1), (-1, old_status.st_gid)):
            with suppressed(OSError):
                os.fchown(fd, *owner)
        mode = _allowed_mode(mode, old_status, os.fstat(fd))
    os.fchmod(fd, mode)
    if hasattr(os, "listxattr"):
        with suppressed(OSError):
            for name in os.listxattr(file):
                with suppressed(OSError):
                    os.setxattr(fd, name, os.getxattr(file, name))


def _allowed_mode(
    mode: int, old_status: os.stat_result, new_status: os.stat_result
) -> int:
    """Return ``mode`` without permissions that another owner or group would gain."""
    if new_status.st_uid != old_status.st_uid:
        mode &= ~stat.S_ISUID
    if new_status.st_gid != old_status.st_gid:
        # The group of the new file is another one, so it gets the permissions of
        # others.
        mode = mode & ~(stat.S_ISGID | stat.S_IRWXG) | (mode & stat.S_IRWXO) << 3
    return mode
