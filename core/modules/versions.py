"""The version of a module class, and the rules that lead to it from older ones."""

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
    """Return the version of ``cls``, 0 for a class that states none."""
    version: int = getattr(cls, "_burnish_version", 0)
    return version


def rules_of(cls: type[nn.Module]) -> Mapping[int, Sequence[RewriteRule]]:
    """Return for each older version of ``cls`` the rules that lead to the next one."""
    rules: Mapping[int, Sequence[RewriteRule]] = getattr(cls, "_burnish_rules", {})
    return rules


def versions_of(places: Places) -> dict[str, int]:
    """Return the version of each class in a module by path, those above 0."""
    # 5,000 modules pass here at every save, of few classes.
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
    """Return what a record says of the versions of a module's classes, by its key."""
    versions = versions_of(places)
    facts = {
        "version": versions.pop("", 0),
        "versions": versions,
        "class_versions": _versions_of_torch(places),
    }
    return {key: fact for key, fact in facts.items() if fact}


def _versions_of_torch(places: Places) -> dict[str, int]:
    """Return the version that torch writes of each class with code of its own.

    Torch converts a state dict that does not say it, as one of the oldest version.
    """
    return {
        prefix[:-1]: version
        for prefix, owner in places
        if type(version := state_dict_version(owner)) is int
        and version > 1
        and not is_of_torch(state_dict_reader(type(owner)))
    }


def check_rules(cls: type, version: int, rules: Mapping[int, Sequence[object]]) -> None:
    """Raise for rules that lead from no older version, and for what is not a rule."""
    for step, of_step in rules.items():
        if not 0 <= step < version:
            raise ValueError(
                f"{cls.__qualname__}: upgrade_rules has rules for version {step}, but "
                f"the class is at version {version}. Rules lead from a version to the "
                "next one."
            )
        if not isinstance(of_step, list | tuple):
            raise TypeError(
                f"{cls.__qualname__}: upgrade_rules[{step}] must be a list of rules, "
                f"got {of_step!r:.60}"
            )
        for rule in of_step:
            # A user's own rule need not derive from ours: it has the same methods.
            is_rule = all(callable(getattr(rule, n, None)) for n in ("rename", "apply"))
            if isinstance(rule, type) or not is_rule:
                raise TypeError(
                    f"{cls.__qualname__}: upgrade_rules has {rule!r:.60}, which is not "
                    "a rule; burnish.config has RenameField, DeleteField and others"
                )


def new_path(rule: RewriteRule, path: str) -> str | None:
    """Return what ``rule`` renames ``path`` to; raise `RecordError` for no path."""
    try:
        return renamed_path(rule, path)
    except ConfigError as error:
        raise RecordError(str(error)) from error


def path_after_rule(path: str, prefix: str, rule: RewriteRule) -> str | None:
    """Return where ``path`` stands after ``rule`` of the module at ``prefix``.

    None if the rule deletes it. Raises `RecordError` for what is not a path.
    """
    # The empty path is the module that has the rules, which no rule of it renames.
    if len(path) <= len(prefix) or not path.startswith(prefix):
        return path
    path_after = new_path(rule, path[len(prefix) :])
    return None if path_after is None else prefix + path_after
