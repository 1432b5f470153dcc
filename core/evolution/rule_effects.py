"""What a rule does to one tensor, asked by name, where there are no tensors."""

from collections.abc import Callable, Mapping
from typing import Any

from ...config.errors import ConfigError
from ...config.process.interrupts import raise_of_signal
from ...config.rewriting.rewrite_rule import RewriteRule
from ..modules.versions import new_path
from .tensor_rules import TensorRule


def names_after(rule: RewriteRule, path: str) -> tuple[str, ...]:
    """Return what ``rule`` calls the values at ``path``, nothing if it deletes them.

    A ``*`` in a name is any number.  Raises `RecordError` for what is not a path.
    """
    if isinstance(rule, TensorRule):
        return rule.names_after(path)
    if _moves_entries(rule):
        after = _after(rule, path)
        return (path,) if after is None else tuple(after)
    name = new_path(rule, path)
    return () if name is None else (name,)


def computes(rule: RewriteRule, path: str) -> bool:
    """Return whether ``rule`` gives the tensor at ``path`` other values, or a part."""
    if isinstance(rule, TensorRule):
        return rule.concerns(path)
    after = _after(rule, path) if _has_entries_of_its_own(rule) else None
    return after is not None and any(value is not _STORED for value in after.values())


def concerns(rule: RewriteRule, path: str) -> bool:
    """Return whether ``rule`` computes, moves or deletes the tensor at ``path``."""
    return computes(rule, path) or names_after(rule, path) != (path,)


_STORED, _COMPUTED = object(), object()


def _after(rule: RewriteRule, path: str) -> Mapping[str, object] | None:
    """Return what ``rule`` makes of a record that has nothing but ``path``.

    None if it raises, which is for other entries that it looks for.
    """

    def derive(entry: object, function: Callable[[Any], Any]) -> object:
        return _COMPUTED

    try:
        return rule.apply_to_entries({path: _STORED}, derive)
    except ConfigError:
        return None
    except Exception as error:  # users' code
        raise_of_signal(error)
        return None


def _has_entries_of_its_own(rule: RewriteRule) -> bool:
    # What has `apply` and `rename` is a rule too; it need not derive from ours.
    base = RewriteRule.apply_to_entries
    return getattr(type(rule), "apply_to_entries", base) is not base


def _moves_entries(rule: RewriteRule) -> bool:
    """Return whether a rule may move entries in a way that its ``rename`` lacks."""
    return _has_entries_of_its_own(rule) and type(rule).rename is RewriteRule.rename
