"""Tensors of a record that stand for one which is computed from them, and rules for it.

A parametrized ``weight`` is stored as ``parametrizations.weight.original``; the older
hooks of torch store ``weight_g`` and ``weight_v``, or ``weight_orig`` beside a buffer.
"""

from collections.abc import Collection, Iterable, Iterator

from ...config.rewriting.rewrite_rule import RewriteRule
from ...records.errors import RecordError
from .rule_effects import computes, concerns, names_after

_HOOKS = [("_g", "_v"), ("_orig", "_u"), ("_orig", "_mask")]
"""Endings of what weight_norm, spectral_norm and pruning store of a tensor."""


def check_parametrized(
    names: Collection[str],
    prefix: str,
    rule: RewriteRule,
    steps: Iterable[tuple[str, RewriteRule]],
) -> None:
    """Raise `RecordError` for a rule for a tensor that is parametrized in a record.

    That has what the tensor is computed from, under names that the rule does not
    have: it would be loaded as it was, unless one of ``steps`` is for those names.
    ``names`` are of what the record has below ``prefix``.
    """
    for tensor, path in _parametrized(names):
        if concerns(rule, tensor) and not _is_met(rule, tensor, path, prefix, steps):
            raise RecordError(
                f"{rule}: the record has {prefix}{tensor} parametrized, as "
                f"{prefix}{path}, which the rule does not change. Add a rule for that "
                "name; or take the parametrization away with the class that wrote the "
                "record, save it again, and parametrize after loading"
            )


def _parametrized(names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each parametrized tensor, with the name of a part of it among ``names``."""
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
    # A rule that moves the whole module is not for the names of the parts.
    whole_path, whole_tensor = prefix + path, prefix + tensor
    return any(
        whole_path.startswith(at)
        and concerns(r, whole_path[len(at) :])
        and names_after(r, whole_tensor[len(at) :]) == (whole_tensor[len(at) :],)
        for at, r in steps
    )
