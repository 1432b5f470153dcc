"""Errors for sources that contain no record: a folder, an empty file, an object."""

import os
import re
from collections.abc import Mapping

from ..config.process.interrupts import raise_of_signal, suppressed
from ..config.short_text import first_names, quantity, with_article
from .errors import ADDED, TRUNCATED, ForeignFileError, RecordFormatError
from .format_names import format_of_suffix, suffixes
from .io.foreign import HEAD, foreign_kind
from .io.source import Source
from .io.stream_source import StreamSource

_SMALL = 64
"""The minimal number of bytes in a record's file."""


def _known_files() -> str:
    return f"Files of records end in {', '.join(sorted(suffixes()))}."


def wrong_size(source: Source, expected: int) -> RecordFormatError:
    """Return the error of a file whose length is not the ``expected`` one."""
    is_short = source.size < expected
    cure = TRUNCATED if is_short else ADDED
    size = quantity(source.size, "byte")
    return RecordFormatError(source.name, size, f"{expected:,}", cure)


def empty_source(source: Source) -> RecordFormatError:
    """Return the error of a source without bytes."""
    if isinstance(source, StreamSource) and source.start:
        return RecordFormatError(
            source.name,
            f"no bytes after position {source.start:,}, where the file object is",
            cure="To read it from the start: file.seek(0).",
        )
    return RecordFormatError(source.name, "an empty file", cure=TRUNCATED)


def unknown_content(source: Source, content: Source | None) -> RecordFormatError:
    """Return the error for bytes of no format; ``content`` is their decoded form."""
    inside = source if content is None else content
    start = bytes(inside.read(0, min(HEAD, inside.size)))
    kind = foreign_kind(start)
    packed = "" if content is None else "a compressed file that contains "
    if kind is not None and not _stands_behind(source):
        description, cure = kind
        return ForeignFileError(
            source.name,
            f"{packed}{description}",
            "a record",
            f"{cure} {_known_files()}",
        )
    cure = _known_files()
    if isinstance(source, StreamSource) and source.start:
        cure += (
            f" The file object is at position {source.start:,}: file.seek(0) goes "
            "back to the start."
        )
    if source.size < _SMALL:
        cure += f" A file of {quantity(source.size, 'byte')} may be truncated."
    if not any(start) and not _stands_behind(source):
        # Not a foreign file, but a file whose content was never written.
        words = f"{packed}{quantity(len(start), 'zero')} at its start"
        return RecordFormatError(source.name, words, "a record", _CURE_OF_ZEROS)
    description = f"{packed}first bytes {start[:8]!r}"
    return ForeignFileError(source.name, description, "those of a known format", cure)


_CURE_OF_ZEROS = (
    "Its space was allocated, but its content was never written, for "
    "example because a copy was interrupted or a disk lost data. Copy the "
    "file again, or use an older one."
)


def _stands_behind(source: Source) -> bool:
    """Return whether a file object is read from its middle, where anything may be."""
    return isinstance(source, StreamSource) and bool(source.start)


def folder_error(folder: str) -> IsADirectoryError:
    """Return the error for a folder where a file was expected."""
    return IsADirectoryError(f"{folder!r} is a folder, {what_to_read(folder)}")


def what_to_read(folder: str) -> str:
    """Return a description of ``folder``'s content, and of the call that reads it."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise_of_signal(error)
        return f"and its content cannot be listed: {error.strerror or error}"
    call = _how_to_read_run(folder, names) or _how_to_read_weights(folder, names)
    if call:
        return call
    files = _records(names)
    if files:
        return f"expected a file; it holds {first_names(files, 6)}"
    return f"expected a file; it holds {first_names(names, 6) if names else 'nothing'}"


def _how_to_read_run(folder: str, names: list[str]) -> str:
    """Return which call reads the run or the checkpoint in a folder, if it is one.

    ``names`` are those of its files.
    """
    if "checkpoint.json" in names:
        return (
            f"{one_checkpoint(folder)}; its parts are files: "
            f"{first_names(_records(names), 6)}"
        )
    checkpoints = [n for n in names if _is_file(folder, n, "checkpoint.json")]
    steps = [name for name in checkpoints if _STEP.fullmatch(name)]
    if checkpoints and not steps:
        return f"a run of Lightning, with checkpoints in {first_names(checkpoints, 6)}"
    if steps:
        return (
            f"the checkpoints of a run: burnish.Checkpoints({folder!r}).restore(...) "
            f"restores one; the files of the newest are in {steps[-1]!r}"
        )
    if "state.ron" in names:
        return (
            "one checkpoint of a run of burnish.train.HyperState: load(..., "
            f"path={folder!r}) starts from it; its objects are files: "
            f"{first_names(_records(names), 6)}"
        )
    if any(_is_file(folder, name, "state.ron") for name in names):
        return "a run of burnish.train.HyperState, whose load(...) continues it"
    if lacks_checkpoints(folder):
        return "a run that has no checkpoint yet: its folder 'checkpoints' holds none"
    return ""


def _how_to_read_weights(folder: str, names: list[str]) -> str:
    """Return which call reads the weights that another library left in a folder."""
    if "adapter_config.json" in names:
        return (
            f"an adapter of peft: peft.PeftModel.from_pretrained(base, {folder!r}) "
            "adds it to its base model"
        )
    if "config.json" in names:
        file = os.path.join(folder, "model.safetensors")
        has_file = "model.safetensors" in names
        weights = f"; only the weights: the file {file!r}" if has_file else ""
        return f"which burnish.from_pretrained({folder!r}, Net) reads{weights}"
    if any(name.endswith(".safetensors.index.json") for name in names):
        return (
            f"a record in several files; burnish convert {folder!r} NEW.mpk "
            "merges it into one file"
        )
    return ""


def one_checkpoint(folder: str) -> str:
    """Return whose checkpoint ``folder`` is, and the call that restores it."""
    is_url = "://" in folder
    run, name = os.path.split(folder if is_url else os.path.abspath(folder))
    step = _STEP.fullmatch(name)
    if step is None:
        return (
            "one checkpoint of a run of Lightning: burnish.train.load_lightning(Net, "
            f"{folder!r}) builds its module, and trainer.fit(..., ckpt_path={folder!r})"
            " continues the run"
        )
    call = f"burnish.Checkpoints({run!r}).restore({int(step[1])}, ...)"
    return f"one checkpoint of a run: {call} restores it"


_STEP = re.compile(r"step(\d+)")
"""The names that `burnish.Checkpoints` gives its folders."""


def lacks_checkpoints(folder: str) -> bool:
    """Return whether ``folder`` is a run of ``burnish fit`` before its first save."""
    place = os.path.join(folder, "checkpoints")
    if not os.path.isdir(place):
        return False
    names: list[str] = []
    with suppressed(OSError):
        names = os.listdir(place)
    return not any(_is_file(place, name, "checkpoint.json") for name in names)


def not_readable(value: object) -> TypeError:
    """Return the error for an object that cannot be read from."""
    expected = "a source must be a path, a binary file, bytes or a record"
    if isinstance(value, Mapping):
        return TypeError(
            f"{expected}, got {with_article(type(value).__name__)}. For a state "
            "dict: burnish.Record.from_state_dict(state_dict)."
        )
    if hasattr(value, "named_parameters"):
        return TypeError(
            f"{expected}, got {with_article(type(value).__name__)}. For a "
            "module: burnish.core.into_record(module)."
        )
    return TypeError(f"{expected}, got {value!r:.80}")


def _is_file(folder: str, *names: str) -> bool:
    return os.path.isfile(os.path.join(folder, *names))


def names_a_record(name: str) -> bool:
    """Return whether a file of this name is a record, by its suffix."""
    return format_of_suffix(name) is not None and name != "checkpoint.json"


def _records(names: list[str]) -> list[str]:
    """Return those of ``names`` that have a record format's suffix."""
    return [*filter(names_a_record, names)]
