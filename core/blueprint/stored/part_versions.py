"""Versions of the classes of a blueprint's parts: when it was stored, and now."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from torch import nn

from ....config.rewriting.rewrite_rule import RewriteRule
from ...modules.registry import NAME, REGISTERED, names_of
from ...modules.versions import rules_of, version_of
from ..errors import FormatError

KEY = "versions"
"""The key of a stored blueprint for the versions of its parts' classes, by name."""


def versions_of_parts(classes: Iterable[type[nn.Module]]) -> dict[str, Any]:
    """Return the versions of ``classes`` for a stored blueprint: those above 0."""
    versions = {_name(cls): version for cls in classes if (version := version_of(cls))}
    return {KEY: versions} if versions else {}


UNKNOWN_VERSIONS: Mapping[str, Any] = {KEY: None}
"""The value if the classes of parts are unknown; edits are not converted then."""


def stored_versions(data: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Return what `versions_of_parts` stored, None if it was unknown.

    FormatError for anything else.
    """
    versions: Any = data.get(KEY, {})
    if versions is None:
        return None
    is_valid = isinstance(versions, Mapping) and all(
        type(n) is int and n >= 0 for n in versions.values()
    )
    if not is_valid:
        raise FormatError(KEY, f"expected versions by name, found {versions!r:.60}")
    return cast("Mapping[str, int]", versions)


def rules_since(cls: type[nn.Module], since: Mapping[str, int]) -> list[RewriteRule]:
    """Return the rules of ``cls`` since its version in ``since``, 0 if it has none."""
    newest = version_of(cls)
    steps = range(since.get(_name(cls), 0) if newest else 0, newest)
    return [rule for step in steps for rule in rules_of(cls).get(step, ())]


def _name(cls: type[nn.Module]) -> str:
    names = names_of(cls)
    return str(names.get(REGISTERED) or names[NAME])
