"""What the end of a file's name says about its content."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .format import format_named, suffixes

if TYPE_CHECKING:
    from .format import Format
    from .recorder import Recorder

_CODECS = ("gz", "zst")


def format_of_suffix(file: str) -> tuple[str, str | None] | None:
    """Return the format's name and the outer compression; None if the name says none.

    ``model.json.gz`` is ``("json", "gz")``; ``.mpk.zst`` is a format of its own.
    """
    name = os.path.basename(file).lower()
    stem, _, codec = name.rpartition(".")
    known = suffixes()
    ending = _ending(name, known)
    if ending:
        return known[ending], None
    if codec in _CODECS and (ending := _ending(stem, known)):
        return known[ending], codec
    return None


def recorder_of_suffix(file: str) -> "Recorder":
    """Return the recorder that writes files with this name's suffix.

    ValueError for no suffix, an unknown one, or one that is only read.
    """
    from .recorder import Recorder

    file = os.fsdecode(file)
    found = format_of_suffix(file)
    if found is None:
        raise ValueError(
            f"{file}: the name must say the format. Write {_proposal(file)!r} for "
            "MessagePack; there are also .mpk.zst, .mpk.gz, .safetensors, .json, "
            ".json.gz and .json.zst. With recorder= any name goes."
        )
    name, codec = found
    if not format_named(name).is_writable:
        stem = file[: -len(_ending(file.lower(), suffixes()))]
        raise ValueError(
            f"{file}: such files are only read. Write {stem + '.mpk'!r}, or "
            f"{stem + '.safetensors'!r} for other libraries. A file of torch is what "
            "torch.save(record.to_state_dict(), file) writes."
        )
    if name == "mpk.zst" and codec is None:
        return Recorder("mpk", "zst")
    return Recorder(name, codec)


def _proposal(file: str) -> str:
    """Return a name like ``file`` that says a format."""
    if file.endswith(("/", os.sep)):
        return f"{file}net.mpk"
    stem, dot, codec = file.rpartition(".")
    return f"{stem}.mpk.{codec}" if dot and codec in _CODECS else f"{file}.mpk"


def disagreement(
    file: str, form: "Format", *, compressed: bool
) -> tuple[str, str] | None:
    """Return content and name in words if ``file`` is called after another format.

    A name that says no format agrees with all of them.
    """
    named = format_of_suffix(file)
    if named is None or (named[0] == form.name and bool(named[1]) == compressed):
        return None
    # What the zstd tool makes of an .mpk file, which gets this very name.
    if named[0] == "mpk.zst" and form.name == "mpk" and compressed:
        return None
    content = f"{form.name}, compressed as a whole" if compressed else form.name
    name = f"{named[0]}, compressed as {named[1]}" if named[1] else named[0]
    return content, name


def _ending(name: str, known: Iterable[str]) -> str:
    """Return the longest known suffix that ``name`` has after something."""
    endings = [s for s in known if name.endswith(s) and len(name) > len(s)]
    return max(endings, key=len, default="")
