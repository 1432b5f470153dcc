"""Versions of the classes of a blueprint's parts: when it was stored, and since."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from torch import nn

from ....config.rewriting.rewrite_rule import RewriteRule
from ...modules.registry import NAME, REGISTERED, names_of
from ...modules.versions import rules_of, version_of
from ..errors import FormatError

KEY = "versions"
"""Where a stored blueprint has the versions of the classes of its parts, by name."""


def versions_of_parts(classes: Iterable[type[nn.Module]]) -> dict[str, Any]:
    """Return what a blueprint says of the versions of ``classes``: those above 0."""
    versions = {_name(cls): version for cls in classes if (version := version_of(cls))}
    return {KEY: versions} if versions else {}


UNKNOWN_VERSIONS: Mapping[str, Any] = {KEY: None}
"""What is said where nobody knows the classes of parts; edits stay as they are."""


def stored_versions(data: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Return what `versions_of_parts` said, None where nobody knew.

    FormatError for something else.
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
