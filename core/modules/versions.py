"""The version of a module class, and the upgrade rules from older versions."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from torch import nn

from ...config.errors import ConfigError
from ...config.rewriting.rewrite_rule import RewriteRule, renamed_path
from ...records.errors import RecordError
from ...records.tensors.torch_internals import state_dict_reader, state_dict_version
from .classes import declared_class, is_of_torch
from .tree import Places


def version_of(cls: type[nn.Module]) -> int:
    """Return the version of ``cls``, 0 for a class that states none.

    Raises `ValueError` for a class without a version that cannot follow all its
    parents.
    """
    # An undecorated subclass is seen here for the first time.
    if rules_of(cls) and "_burnish_version" not in vars(cls):
        check_inherited_rules(cls)
    version: int = getattr(cls, "_burnish_version", 0)
    return version


def rules_of(cls: type[nn.Module]) -> Mapping[int, Sequence[RewriteRule]]:
    """Return the rules from each older version of ``cls`` to the next one."""
    rules: Mapping[int, Sequence[RewriteRule]] = getattr(cls, "_burnish_rules", {})
    return rules


def versions_of(places: Places) -> dict[str, int]:
    """Return the versions of the classes in a module by path, those above 0."""
    # This runs for 5,000 modules at every save, which are of few classes.
    classes = set(map(type, map(itemgetter(1), places)))
    versions = {cls: version_of(declared_class(cls)) for cls in classes}
    if not any(versions.values()):
        return {}
    return {
        prefix[:-1]: version
        for prefix, owner in places
        if (version := versions[type(owner)])
    }


def recorded_versions(places: Places) -> dict[str, Any]:
    """Return the metadata about the versions of a module's classes, by its key."""
    versions = versions_of(places)
    facts = {
        "version": versions.pop("", 0),
        "versions": versions,
        "class_versions": _versions_of_torch(places),
    }
    return {key: fact for key, fact in facts.items() if fact}


def _versions_of_torch(places: Places) -> dict[str, int]:
    """Return the version that torch writes for each class with loading code.

    Torch converts a state dict without it as one of the oldest version.
    """
    return {
        prefix[:-1]: version
        for prefix, owner in places
        if type(version := state_dict_version(owner)) is int
        and version > 1
        and not is_of_torch(state_dict_reader(type(owner)))
    }


def rules_with_inherited(
    cls: type[nn.Module], version: int, rules: Mapping[int, Sequence[RewriteRule]]
) -> dict[int, Sequence[RewriteRule]]:
    """Return the rules of a ``cls`` of ``version``, with inherited ones.

    A record has one version for a class and its parents. So rules that start where
    those of the parent end follow them; others must contain them. Raises `ValueError`
    where they do not, since records would be read without the parent's rules.
    """
    parents = _parents_with_rules(cls)
    if len(parents) == 1 and _follows(parents[0], version, rules):
        return {**rules_of(parents[0]), **rules}
    _check_inherited(cls, f"states version {version}", rules, parents)
    if not parents:
        _check_beginning(cls, rules)
    return dict(rules)


def _follows(
    parent: type[nn.Module], version: int, rules: Mapping[int, Sequence[RewriteRule]]
) -> bool:
    """Return whether ``rules`` start exactly at the version of ``parent``.

    With steps in between, a parent whose version is increased later would seem to be
    older than the records of the subclass.
    """
    repeated = [rule for of_step in rules_of(parent).values() for rule in of_step]
    is_repeating = any(r in repeated for of_step in rules.values() for r in of_step)
    first_step = min(rules, default=version - 1)
    return first_step == version_of(parent) < version and not is_repeating


def _check_beginning(
    cls: type[nn.Module], rules: Mapping[int, Sequence[RewriteRule]]
) -> None:
    """Raise `ValueError` for rules that start after the version of a parent.

    The parents have no rules yet. When one gets its first, those of ``cls`` must not
    seem to follow it.
    """
    parent = next(filter(_may_get_rules, cls.__mro__[1:]), None)
    if parent is None or not any(rules.values()):
        return
    newest, first_step = version_of(parent), min(rules)
    if first_step > newest:
        raise ValueError(
            f"{cls.__qualname__}: upgrade_rules begin at version {first_step}, "
            f"but its parent {parent.__qualname__} is at version {newest}. If "
            f"nothing changed at that version, add an empty list: {newest}: []"
        )


def _may_get_rules(cls: type) -> bool:
    """Return whether ``cls`` is decorated, and not `burnish.Module`.

    Only that one states version 0 of itself.
    """
    return "_burnish_skip" in vars(cls) and vars(cls).get("_burnish_version") != 0


def check_inherited_rules(cls: type[nn.Module]) -> None:
    """Raise `ValueError` for a class of several parents whose rules it cannot follow.

    It states no version itself, and so has that of the first parent.
    """
    parents = _parents_with_rules(cls)
    if len(parents) > 1:
        first_parent = parents[0]
        claim = (
            f"has the version and the rules of its parent {first_parent.__qualname__}"
        )
        _check_inherited(cls, claim, rules_of(first_parent), parents[1:])


def _check_inherited(
    cls: type[nn.Module],
    claim: str,
    rules: Mapping[int, Sequence[RewriteRule]],
    parents: Sequence[type[nn.Module]],
) -> None:
    own_rules = [rule for of_step in rules.values() for rule in of_step]
    for parent in parents:
        for step, of_step in rules_of(parent).items():
            for rule in of_step:
                if rule not in own_rules:
                    raise ValueError(
                        f"{cls.__qualname__} {claim}, so its records would be "
                        f"read without {rule!r:.80}, a rule of its parent "
                        f"{parent.__qualname__} for version {step}. A class has "
                        "one version for itself and its parents: repeat the "
                        f"rule in the upgrade_rules of {cls.__qualname__}, at "
                        "the version that its records had when the parent "
                        "changed, and raise the version above that one; or "
                        f"begin the upgrade_rules at {version_of(parent)}, the "
                        "version of the parent (with an empty list), if no "
                        "record of the subclass is older than that"
                    )


def _parents_with_rules(cls: type[nn.Module]) -> list[type[nn.Module]]:
    """Return the nearest ancestors that have rules of their own.

    The ancestors of those were checked when they were created.
    """
    nearest: list[type[nn.Module]] = []
    for parent in cls.__mro__[1:]:
        has_rules = any(vars(parent).get("_burnish_rules", {}).values())
        if has_rules and not any(issubclass(near, parent) for near in nearest):
            nearest.append(parent)
    return nearest


def new_path(rule: RewriteRule, path: str) -> str | None:
    """Return the new name of ``path`` by ``rule``; `RecordError` for no path."""
    try:
        return renamed_path(rule, path)
    except ConfigError as error:
        raise RecordError(str(error)) from error


def path_after_rule(path: str, prefix: str, rule: RewriteRule) -> str | None:
    """Return the path of ``path`` after ``rule`` of the module at ``prefix``.

    None if the rule deletes it. Raises `RecordError` for an invalid path.
    """
    # The empty path is the module with the rules, which none of them renames.
    if len(path) <= len(prefix) or not path.startswith(prefix):
        return path
    path_after = new_path(rule, path[len(prefix) :])
    return None if path_after is None else prefix + path_after
