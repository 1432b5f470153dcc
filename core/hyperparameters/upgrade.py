"""Upgrade of hyperparameters to the newest version of their class."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from ...config.errors import ConfigError
from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.short_text import with_article
from ...records.errors import RecordError, RecordVersionError
from ..errors import HyperparameterError
from ..modules.registry import NAME, Node
from ..modules.versions import new_path, rules_of, version_of
from .hparams_node import ALL, NOTES, VERSION, is_child


def upgraded_node(cls: type[nn.Module], node: Node, path: str) -> Mapping[str, Any]:
    """Return the hyperparameters of a ``cls`` at its newest version."""
    newest, version = version_of(cls), node.get(VERSION, 0)
    if newest == 0 and version == 0:
        return node
    if type(version) is not int or version < 0:
        raise HyperparameterError(path, f"{VERSION!r} must be an int of at least 0")
    if version > newest:
        subject = f"what describes {with_article(cls.__qualname__)}"
        raise RecordVersionError(path or "hyperparameters", version, newest, subject)
    # Without a class they were written by hand, for the present version.
    if version == newest or NAME not in node:
        return node
    tree = dict(node)
    try:
        for step in range(version, newest):
            for rule in rules_of(cls).get(step, ()):
                tree = _rewritten(tree, rule)
                for key in NOTES & tree.keys():
                    tree[key] = _renamed_notes(tree[key], "", rule)
    except (ConfigError, RecordError) as error:
        raise HyperparameterError(path, str(error)) from error
    return tree


def _rewritten(tree: dict[str, Any], rule: RewriteRule) -> dict[str, Any]:
    """Return ``tree`` after ``rule``.

    Children are described beside the arguments, for readers. A rule for the tensors of
    one may not fit its description, which is left unchanged then.
    """
    rewritten = copy.deepcopy(tree)
    try:
        rule.apply(rewritten)
    except (ConfigError, RecordError):
        children = {name: value for name, value in tree.items() if is_child(value)}
        rewritten = {name: tree[name] for name in tree.keys() - children.keys()}
        rule.apply(rewritten)
        return {**children, **rewritten}
    return rewritten


def _renamed_notes(notes: object, above: str, rule: RewriteRule) -> Any:
    """Return notes on arguments, and on items in them, under their new names.

    ``above`` is the prefix of the paths in ``notes``, with its last dot.
    """
    if not isinstance(notes, Mapping):
        return notes
    renamed: dict[Any, Any] = {}
    for name, note in notes.items():
        if not isinstance(name, str) or name == ALL:
            renamed[name] = note
            continue
        new_name = new_path(rule, above + name)
        if isinstance(note, list) and len(note) == 2:
            note = [note[0], _renamed_notes(note[1], f"{above}{name}.", rule)]
        if new_name is not None:
            # Keys of dicts may have dots, and most are not renamed themselves.
            is_same = new_name.endswith(f".{name}") or new_name == name
            renamed[name if is_same else new_name.rpartition(".")[2]] = note
    return renamed
