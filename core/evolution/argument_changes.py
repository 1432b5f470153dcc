"""Changes of a module constructor's arguments by a refactoring, and rules for them.

Records hold the arguments, and a module is rebuilt from them: an argument that the
class no longer accepts, or a new required one, prevents that.
"""

from collections.abc import Collection, Iterable
from functools import partial
from inspect import Parameter

from torch import nn

from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.rules import DeleteField, RenameField
from ...config.schema.change import Severity
from ...config.spelling import similarity
from ...records.errors import RecordError
from ..hyperparameters.hparams_node import VERSION
from ..hyperparameters.upgrade import upgraded_node
from ..modules.registry import names_of
from ..modules.signature import variadic_of
from .record_changes import RecordChange
from .record_schema import Arguments, arguments_of


def compare_arguments(
    old_arguments: Arguments | None,
    version: int,
    cls: type[nn.Module],
    paths: Iterable[str],
) -> list[RecordChange]:
    """Return which of ``old_arguments`` a ``cls`` does not accept, and which it lacks.

    Its upgrade rules are applied first. ``paths`` are those of stored tensors, which a
    rule for an argument of the same name would affect too.
    """
    new_arguments = arguments_of(cls)
    if old_arguments is None or new_arguments is None:
        return []
    upgraded_names = _names_after_rules(old_arguments, version, cls)
    if upgraded_names is None:
        return []
    names = {path.partition(".")[0] for path in paths}
    removed_names = [n for n in upgraded_names if n not in new_arguments]
    variadic_names = variadic_of(cls)
    added_names = [
        name
        for name in new_arguments
        if name not in upgraded_names and name not in variadic_names.values()
    ]
    keywords = variadic_names.get(Parameter.VAR_KEYWORD)
    if keywords is None:
        changes = _removals(removed_names, added_names, names)
    else:
        changes = [_into_keywords(name, keywords, names) for name in removed_names]
    message = "new argument without a default, which older records lack (or AddDefault)"
    required_names = (name for name in added_names if new_arguments[name])
    return [
        *changes,
        *(RecordChange(name, message, Severity.ERROR) for name in required_names),
    ]


def _into_keywords(
    name: str, keywords: str, stored_names: Collection[str]
) -> RecordChange:
    """Return the fate of an argument that only ``**keywords`` would accept now.

    Records hold these as one dict.
    """
    message = f"argument now collected by **{keywords}"
    if name in stored_names:
        message = f"{message}, but a part has its name"
        return RecordChange(name, message, Severity.ERROR)
    return RecordChange(
        name, message, Severity.WARN, RenameField(name, f"{keywords}.{name}")
    )


def _removals(
    removed_names: list[str], added_names: list[str], stored_names: Collection[str]
) -> list[RecordChange]:
    """Return the fates of removed arguments.

    The new names of those that were probably renamed are removed from ``added_names``.
    """
    changes: list[RecordChange] = []
    for name in removed_names:
        # If one was removed and one added, it was probably renamed.
        likely = 0.0 if len(removed_names) == len(added_names) == 1 else _LIKELY
        candidate = max(added_names, key=partial(similarity, name), default=None)
        rule: RewriteRule = DeleteField(name)
        message = "argument removed"
        if candidate is not None and similarity(name, candidate) >= likely:
            added_names.remove(candidate)
            rule = RenameField(name, candidate)
            message = f"argument renamed to {candidate}"
        if name in stored_names:
            # The rule would rename the tensors below that name, too.
            message = f"{message}, but a part has its name"
            changes.append(RecordChange(name, message, Severity.ERROR))
        else:
            changes.append(RecordChange(name, message, Severity.WARN, rule))
    return changes


_LIKELY = 0.5
"""Minimal similarity of two names that count as a rename."""


def _names_after_rules(
    old_arguments: Arguments, version: int, cls: type[nn.Module]
) -> list[str] | None:
    """Return the names after the class's rules; None if those need values."""
    class_keys = {**names_of(cls), VERSION: version}
    values = dict.fromkeys(old_arguments)
    try:
        node = upgraded_node(cls, {**class_keys, **values}, "")
    except (RecordError, TypeError, ValueError, AttributeError, KeyError):
        return None
    return [name for name in node if name not in (*class_keys, VERSION)]
