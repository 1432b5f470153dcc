"""What a refactor did to the arguments of a module's constructor, and the rules for it.

Records hold them, and a module is built of them again: an argument that the class does
not take any more, or a new one that must be given, ends that.
"""

from collections.abc import Iterable
from functools import partial

from torch import nn

from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.rules import DeleteField, RenameField
from ...config.schema.change import Severity
from ...config.spelling import similarity
from ...records.errors import RecordError
from ..hyperparameters.upgrade import upgraded_node
from ..hyperparameters.values import VERSION
from ..modules.registry import names_of
from ..modules.signature import takes_any_name
from .record_changes import Change
from .record_schema import Arguments, arguments_of


def argument_changes(
    old: Arguments | None, version: int, cls: type[nn.Module], paths: Iterable[str]
) -> list[Change]:
    """Return what a ``cls`` does not take of ``old`` arguments, or needs beside them.

    Its upgrade rules are applied first. ``paths`` are those of stored tensors, which a
    rule for an argument of their name would concern too.
    """
    new = arguments_of(cls)
    if old is None or new is None:
        return []
    carried = _carried(old, version, cls)
    if carried is None:
        return []
    names = {path.partition(".")[0] for path in paths}
    gone = [] if takes_any_name(cls) else [n for n in carried if n not in new]
    added = [name for name in new if name not in carried]
    found: list[Change] = []
    for name in gone:
        # Where one went and one came, it was most likely renamed.
        likely = 0.0 if len(gone) == len(added) == 1 else _LIKELY
        other = max(added, key=partial(similarity, name), default=None)
        rule: RewriteRule = DeleteField(name)
        said = "argument removed"
        if other is not None and similarity(name, other) >= likely:
            added.remove(other)
            said, rule = f"argument renamed to {other}", RenameField(name, other)
        if name in names:
            # The rule would take the tensors below that name along.
            found.append(
                Change(name, f"{said}, and a part has its name", Severity.ERROR)
            )
        else:
            found.append(Change(name, said, Severity.WARN, rule))
    said = "new argument without a default, which older records lack (or AddDefault)"
    needed = (name for name in added if new[name])
    return [*found, *(Change(name, said, Severity.ERROR) for name in needed)]


_LIKELY = 0.5
"""Likeness of two names from which on one is taken for the other."""


def _carried(old: Arguments, version: int, cls: type[nn.Module]) -> list[str] | None:
    """Return the names after the class's rules; None if those ask for values."""
    named = {**names_of(cls), VERSION: version}
    values = dict.fromkeys(old)
    try:
        node = upgraded_node(cls, {**named, **values}, "")
    except (RecordError, TypeError, ValueError, AttributeError, KeyError):
        return None
    return [name for name in node if name not in (*named, VERSION)]
