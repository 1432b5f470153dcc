"""An edit that a command asks a run for, written to the config in its folder."""

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ConfigError, Problem
from ..files import read_tree
from ..path import parts
from ..spelling import did_you_mean
from ..storage.replacement import write_text
from ..tree import is_dict
from ..validation.overrides import override_texts, split_override
from ..validation.parse_value import from_text
from .changes import key_in
from .live_config import ASKED, config_file


def request_edit(folder: Path, overrides: Iterable[str], by: str) -> Path:
    """Write ``overrides`` into the config at the top of a run; return the file.

    The file appears whole, with a note beside it that says who asked. The run checks
    the values by its class when it looks, and says beside the file what it refuses.
    Raises ConfigError, and changes nothing, for a folder without such a config, for a
    path that is not in it, and for what is no override.
    """
    file = config_file(folder)
    if file is None:
        message = (
            "no config is at its top; expected the folder of a run whose config has "
            "editable fields (burnish.config.Hparam(editable=True))"
        )
        raise ConfigError(str(folder), [Problem("", message)])
    tree, form = read_tree(file)
    edited, problems = copy.deepcopy(tree), list[Problem]()
    for override in override_texts(overrides):
        try:
            _put(edited, override)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(str(file), problems)
    text = form.write(edited) + "\n"
    # First who asked: the run may look at the file at once.
    note = file.with_name(file.name + ASKED)
    write_text(note, json.dumps({"text": text, "by": by}))
    write_text(file, text)
    return file


def _put(tree: Any, override: str) -> None:
    """Put one value where the file has another. ConfigError if there is none."""
    path, equals, value = split_override(override)
    names = parts(path) if equals else ()
    if not names:
        message = f"override {override!r:.60}: expected field.name=value"
        raise ConfigError("", [Problem("", message)])
    container: Any = None
    key: Any = None
    node = tree
    for name in names:
        container, key = node, _key(node, name, path)
        node = container[key]
    # A text stays one, whatever it looks like.
    container[key] = from_text(str if isinstance(node, str) else Any, value, path)


def _key(node: Any, name: str, path: str) -> Any:
    try:
        return key_in(node, name)
    except LookupError:
        hint = did_you_mean(name, map(str, node)) if is_dict(node) else ""
        problem = Problem(path, f"the file has no {name!r}.{hint}")
        raise ConfigError("", [problem]) from None
