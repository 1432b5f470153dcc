"""The effect of a rule on one tensor, by name, where there are no tensors."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from ...config.errors import ConfigError
from ...config.process.interrupts import raise_of_signal
from ...config.rewriting.rewrite_rule import RewriteRule
from ...records.errors import RecordError
from ..modules.versions import new_path
from .tensor_rules import TensorRule


def names_after(rule: RewriteRule, path: str) -> tuple[str, ...]:
    """Return the new names of the values at ``path`` by ``rule``, none if deleted.

    A ``*`` in a name matches any number. Raises `RecordError` for an invalid path.
    """
    if isinstance(rule, TensorRule):
        return rule.names_after(path)
    if _moves_entries(rule):
        after = _after(rule, path)
        return (path,) if after is None else tuple(after)
    name = new_path(rule, path)
    return () if name is None else (name,)


def computes(rule: RewriteRule, path: str) -> bool:
    """Return whether ``rule`` changes the values of the tensor at ``path``."""
    if isinstance(rule, TensorRule):
        return rule.concerns(path)
    after = _after(rule, path) if _has_entries_of_its_own(rule) else None
    return after is not None and any(value is not _STORED for value in after.values())


def concerns(rule: RewriteRule, path: str) -> bool:
    """Return whether ``rule`` computes, moves or deletes the tensor at ``path``."""
    return computes(rule, path) or names_after(rule, path) != (path,)


_STORED, _COMPUTED = object(), object()


def _after(rule: RewriteRule, path: str) -> Mapping[str, object] | None:
    """Return the result of ``rule`` for a record that has nothing but ``path``.

    None if it raises because it looks for other entries.
    """

    def derive(entry: object, function: Callable[[Any], Any]) -> object:
        return _COMPUTED

    try:
        return rule.apply_to_entries({path: _STORED}, derive)
    except ConfigError:
        return None
    except Exception as error:  # code of users
        raise_of_signal(error)
        return None


def _has_entries_of_its_own(rule: RewriteRule) -> bool:
    # Any object with `apply` and `rename` is a rule; it need not derive from our class.
    base = RewriteRule.apply_to_entries
    return getattr(type(rule), "apply_to_entries", base) is not base


def _moves_entries(rule: RewriteRule) -> bool:
    """Return whether a rule may move entries in a way that its ``rename`` does not."""
    return _has_entries_of_its_own(rule) and type(rule).rename is RewriteRule.rename


_HOOKS = [("_g", "_v"), ("_orig", "_u"), ("_orig", "_mask")]
"""Suffixes of what weight_norm, spectral_norm and pruning store for a tensor."""


def check_parametrized(
    names: Collection[str],
    prefix: str,
    rule: RewriteRule,
    steps: Iterable[tuple[str, RewriteRule]],
) -> None:
    """Raise `RecordError` for a rule for a tensor that is parametrized in a record.

    The record has the tensors it is computed from, under names that the rule does not
    know: they would be loaded unchanged, unless one of ``steps`` is for those names.
    ``names`` are those of the record below ``prefix``.
    """
    for tensor, path in _parametrized(names):
        if concerns(rule, tensor) and not _is_met(rule, tensor, path, prefix, steps):
            raise RecordError(
                f"{rule}: the record has {prefix}{tensor} parametrized, as "
                f"{prefix}{path}, which the rule does not change. Add a rule for "
                "that name; or remove the parametrization with the class that "
                "wrote the record, save it again, and parametrize after loading"
            )


def _parametrized(names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each parametrized tensor, with one of its parts' names in ``names``."""
    for path in names:
        *owner, folder, name, _ = ["", "", *path.split(".")]
        if folder == "parametrizations":
            yield ".".join([*filter(None, owner), name]), path
        for stem, sibling in _HOOKS:
            tensor = path.removesuffix(stem)
            is_hooked = tensor != path and f"{tensor}{sibling}" in names
            if is_hooked and tensor not in names:
                yield tensor, path
                yield tensor, f"{tensor}{sibling}"


def _is_met(
    rule: RewriteRule,
    tensor: str,
    path: str,
    prefix: str,
    steps: Iterable[tuple[str, RewriteRule]],
) -> bool:
    """Return whether the part at ``path`` is changed as ``rule`` changes the tensor."""
    if computes(rule, tensor):
        return any(
            (prefix + path).startswith(at) and computes(r, (prefix + path)[len(at) :])
            for at, r in steps
        )
    if concerns(rule, path):
        return True
    # A rule that moves the whole module does not depend on the names of parts.
    whole_path, whole_tensor = prefix + path, prefix + tensor
    return any(
        whole_path.startswith(at)
        and concerns(r, whole_path[len(at) :])
        and names_after(r, whole_tensor[len(at) :]) == (whole_tensor[len(at) :],)
        for at, r in steps
    )
