"""An edit requested by a command, written to the config in a run's folder."""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigError, Problem
from ..files import read_text, read_tree
from ..path import parts
from ..process.interrupts import suppressed
from ..short_text import first_names
from ..spelling import did_you_mean
from ..storage.opening import read_file
from ..storage.replacement import write_text
from ..tree import is_dict, unshared
from ..validation.overrides import override_texts, split_override
from ..validation.parse_value import NONES, from_text
from .changes import key_in, with_change
from .edit_lock import edit_lock
from .live_config import REFUSED, config_file
from .request_note import RequestNote

_MOST_BYTES = 4096
"""Maximal length of a refusal that is shown, in characters."""

_MOST_SECONDS = 10.0
"""Seconds that another command may take; after that its lock is reported."""


def request_edit(folder: Path, overrides: Iterable[str], by: str) -> Path:
    """Write ``overrides`` into the config at the top of a run; return the file.

    A path may omit names on its way (``optimizer.lr``) where exactly one place fits.
    The file is replaced atomically, and a note beside it states who requested the edit.
    The run validates the values by its class when it looks, and explains beside the
    file what it refuses. Concurrent requests are serialized, and none undoes another.
    Raises ConfigError, and changes nothing, for a folder without such a config, for a
    path that is not in it, and for anything but an override; TimeoutError if another
    writer does not finish.
    """
    file = _config_in(folder)
    with edit_lock(folder, wait_seconds=_MOST_SECONDS) as is_ours:
        if not is_ours:
            raise TimeoutError(
                f"{file}: another program has been writing it for {_MOST_SECONDS:.0f} "
                "s, and nothing was changed; end that program, and try again"
            )
        before = read_text(file)
        tree, form = read_tree(file)
        text = form.write(_edited(tree, overrides, file)) + "\n"
        # The note is written first, since the run may look at the file at any time.
        RequestNote.beside(file).add(by, before, text)
        write_text(file, text)
    return file


def last_refusal(folder: Path) -> str:
    """Return why the config at the top of a run was refused, empty if it was not."""
    file = config_file(folder)
    if file is not None:
        with suppressed(OSError):
            refusal = read_file(file.with_name(file.name + REFUSED), _MOST_BYTES)
            return refusal.decode(errors="replace").strip()
    return ""


def _config_in(folder: Path) -> Path:
    """Return the config at the top of a run. ConfigError if there is none."""
    file = config_file(folder)
    if file is not None and not _is_checkpoint(folder):
        return file
    if folder.exists() and not folder.is_dir():
        parent = folder.absolute().parent
        message = (
            f"this is a file; expected the folder of a run in progress, as in {parent}"
        )
    elif not folder.is_dir():
        message = "there is no such folder; expected the folder of a run in progress"
    elif file is not None:
        # Its values may be edited, but a run in progress does not look at them.
        message = (
            f"this is a checkpoint; expected the folder of the run, {folder.parent}"
        )
    else:
        message = (
            "there is no config at its top; expected the folder of a run whose config "
            "has editable fields (burnish.config.Hparam(editable=True))"
        )
    raise ConfigError(str(folder), [Problem("", message)])


def _is_checkpoint(folder: Path) -> bool:
    return os.path.lexists(folder / "state.ron")


def _edited(tree: Any, overrides: Iterable[str], file: Path) -> Any:
    """Return ``tree`` with other values. ConfigError with every problem."""
    edited, problems = unshared(tree), list[Problem]()
    for override in override_texts(overrides):
        try:
            edited = _put(edited, override)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(str(file), problems)
    return edited


def _put(tree: Any, override: str) -> Any:
    """Return ``tree`` with one value replaced. ConfigError if the file has none."""
    path, equals, value = split_override(override)
    names = parts(path) if equals else ()
    if not names:
        message = f"override {override!r:.60}: expected field.name=value"
        raise ConfigError("", [Problem("", message)])
    key_of, change = partial(_key, path=path), partial(_value, text=value, path=path)
    return with_change(tree, _whole_path(tree, names), key_of, change)


def _value(before: object, text: str, path: str) -> object:
    """Return the value of ``text`` in the place of the file's value ``before``."""
    if not isinstance(before, str):
        return from_text(Any, text, path)
    # A string remains one, whatever it looks like. Only the run's class knows whether
    # it may be None, and refuses None where a string is required.
    return None if text.strip() in NONES else from_text(str, text, path)


def _whole_path(tree: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``names`` with omitted ones added, if exactly one place fits.

    Raises ConfigError if several fit; if none does, ``names`` are returned unchanged.
    """
    places = {place for place in _places(tree, ()) if _is_short_for(names, place)}
    if names in places or not places:
        return names
    if len(places) > 1:
        paths = sorted(map(".".join, places))
        message = f"could be {first_names(paths, 8)}; write more of the path"
        raise ConfigError("", [Problem(".".join(names), message)])
    return places.pop()


def _places(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if is_dict(node):
        for key, item in node.items():
            yield (*path, str(key))
            yield from _places(item, (*path, str(key)))


def _is_short_for(names: tuple[str, ...], place: tuple[str, ...]) -> bool:
    """Return whether ``place`` ends with ``names``, with further names in between."""
    names_of_place = iter(place)
    return place[-1] == names[-1] and all(name in names_of_place for name in names)


def _key(node: Any, name: str, path: str) -> Any:
    try:
        return key_in(node, name)
    except LookupError:
        hint = did_you_mean(name, map(str, node)) if is_dict(node) else ""
        problem = Problem(path, f"the file has no {name!r}.{hint}")
        raise ConfigError("", [problem]) from None
