"""File names: the suffixes of every format, and the format of a suffix.

A name is looked at before any format is imported, and errors list the known suffixes;
both use only this table.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

from ..config.registry import Registry


class BuiltIn(NamedTuple):
    """A built-in format."""

    module: str
    """Its module in `formats`, imported on first use: .mpk does not import JSON."""
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
"""Suffixes of files that are compressed as a whole."""

registered_suffixes: Registry[str, tuple[str, ...]] = Registry()
"""The suffixes of registered formats, by the name of the format."""


def check_format_name(name: str) -> None:
    """Raise ValueError, which lists the known formats, for an unknown one."""
    if name not in registered_suffixes.entries and name not in BUILT_IN:
        names = ", ".join(sorted({*registered_suffixes, *BUILT_IN}))
        raise ValueError(f"there is no format {name!r}; choose one of {names}")


def suffixes() -> dict[str, str]:
    """Return the format name of each suffix, without importing any format."""
    built_in = {end: name for name, form in BUILT_IN.items() for end in form.suffixes}
    return built_in | {
        end: name for name, ends in registered_suffixes.entries.items() for end in ends
    }


def format_of_suffix(file: str) -> tuple[str, str | None] | None:
    """Return the format's name and the outer compression; None for an unknown suffix.

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
    """Return the longest of ``suffixes`` that ``name`` has after a non-empty stem."""
    endings = [s for s in suffixes if name.endswith(s) and len(name) > len(s)]
    return max(endings, key=len, default="")
