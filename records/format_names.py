"""What the names of files say: the suffixes of every format, and which format has one.

A name is looked at before any format is imported, and an error says the suffixes that
there are; both know no more of a format than stands here.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

from ..config.registry import Registry


class BuiltIn(NamedTuple):
    """A format that the library brings."""

    module: str
    """In `formats`: imported when first asked for, so that reading .mpk does not pay
    for JSON."""
    suffixes: tuple[str, ...]


BUILT_IN: dict[str, BuiltIn] = {
    "mpk": BuiltIn("messagepack", (".mpk",)),
    "mpk.zst": BuiltIn("zstd_messagepack", (".mpk.zst",)),
    "safetensors": BuiltIn("safetensors", (".safetensors",)),
    "json": BuiltIn("json", (".json",)),
    "torch": BuiltIn("torch_archive", (".pt", ".pth", ".bin", ".ckpt")),
    "bpk": BuiltIn("burnpack", (".bpk",)),
    "burn": BuiltIn("named_mpk", ()),
}

CODECS = ("gz", "zst")
"""Endings of files that are compressed as a whole."""

registered_suffixes: Registry[str, tuple[str, ...]] = Registry()
"""The suffixes of formats that were registered, by the name of the format."""


def check_format_name(name: str) -> None:
    """Raise ValueError, which lists those that there are, for an unknown format."""
    if name not in registered_suffixes.entries and name not in BUILT_IN:
        names = ", ".join(sorted({*registered_suffixes, *BUILT_IN}))
        raise ValueError(f"there is no format {name!r}; choose one of {names}")


def suffixes() -> dict[str, str]:
    """Return the name of the format of each suffix, without importing any format."""
    built_in = {end: name for name, form in BUILT_IN.items() for end in form.suffixes}
    return built_in | {
        end: name for name, ends in registered_suffixes.entries.items() for end in ends
    }


def format_of_suffix(file: str) -> tuple[str, str | None] | None:
    """Return the format's name and the outer compression; None if the name says none.

    ``model.json.gz`` is ``("json", "gz")``; ``.mpk.zst`` is a format of its own.
    """
    name = os.path.basename(file).lower()
    stem, _, codec = name.rpartition(".")
    names = suffixes()
    ending = suffix_of(name, names)
    if ending:
        return names[ending], None
    if codec in CODECS and (ending := suffix_of(stem, names)):
        return names[ending], codec
    return None


def suffix_of(name: str, suffixes: Iterable[str]) -> str:
    """Return the longest of ``suffixes`` that ``name`` has after something."""
    endings = [s for s in suffixes if name.endswith(s) and len(name) > len(s)]
    return max(endings, key=len, default="")
