"""An edit that a command asks a run for, written to the config in its folder."""

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
"""Of a refusal that is told."""

_MOST_SECONDS = 10.0
"""How long another command may take; one that stands still is told."""


def request_edit(folder: Path, overrides: Iterable[str], by: str) -> Path:
    """Write ``overrides`` into the config at the top of a run; return the file.

    A path may leave out names on its way (``optimizer.lr``) where one place alone
    fits. The file appears whole, with a note beside it that says who asked. The run
    checks the values by its class when it looks, and says beside the file what it
    refuses.
    Of several at once each comes in its turn, and none undoes another. Raises
    ConfigError, and changes nothing, for a folder without such a config, for a path
    that is not in it, and for what is not an override; TimeoutError if another writer
    does not come to an end.
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
        # First who asked: the run may look at the file at once.
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
        message = f"a file; expected the folder of a run in progress, as in {parent}"
    elif not folder.is_dir():
        message = "there is no such folder; expected that of a run in progress"
    elif file is not None:
        # Its texts may be edited, but no run looks at them while it goes on.
        message = f"a checkpoint of a run; the run's own folder is {folder.parent}"
    else:
        message = (
            "there is no config at its top; expected the folder of a run whose config "
            "has editable fields (burnish.config.Hparam(editable=True))"
        )
    raise ConfigError(str(folder), [Problem("", message)])


def _is_checkpoint(folder: Path) -> bool:
    return os.path.lexists(folder / "state.ron")


def _edited(tree: Any, overrides: Iterable[str], file: Path) -> Any:
    """Return ``tree`` with other values. ConfigError with all that is wrong."""
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
    """Return ``tree`` with another value in it. ConfigError if the file has none."""
    path, equals, value = split_override(override)
    names = parts(path) if equals else ()
    if not names:
        message = f"override {override!r:.60}: expected field.name=value"
        raise ConfigError("", [Problem("", message)])
    key_of, change = partial(_key, path=path), partial(_value, text=value, path=path)
    return with_change(tree, _whole_path(tree, names), key_of, change)


def _value(before: object, text: str, path: str) -> object:
    """Return what ``text`` stands for where the file has ``before``."""
    if not isinstance(before, str):
        return from_text(Any, text, path)
    # A text stays one, whatever it looks like. But whether it may be None only the
    # run's class knows, and that refuses None where a text has to be.
    return None if text.strip() in NONES else from_text(str, text, path)


def _whole_path(tree: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``names`` with those that were left out, if one place alone fits.

    Raises ConfigError if several do; where none does ``names`` are as they were.
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
    """Return whether ``place`` ends as ``names`` and has the others on its way."""
    names_of_place = iter(place)
    return place[-1] == names[-1] and all(name in names_of_place for name in names)


def _key(node: Any, name: str, path: str) -> Any:
    try:
        return key_in(node, name)
    except LookupError:
        hint = did_you_mean(name, map(str, node)) if is_dict(node) else ""
        problem = Problem(path, f"the file has no {name!r}.{hint}")
        raise ConfigError("", [problem]) from None
