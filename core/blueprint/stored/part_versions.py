"""Edits of parts whose class has another version now than when they were stored.

A part's class is known only once the constructors have run, so that an edit is carried
over to the names of now just before it takes its place in the log.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from torch import nn

from ....config.errors import ConfigError
from ....config.path import join, parts
from ....config.patterns import is_pattern
from ....config.rewriting.rewrite_rule import RewriteRule
from ...modules.registry import NAME, REGISTERED, names_of
from ...modules.versions import new_path, rules_of, version_of
from ..construction.draft import Draft
from ..edits.edits import Edit, SetArguments
from ..errors import FormatError
from .carried_patterns import RulesOf, carried_pattern

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


def are_outdated(
    draft: Draft,
    edits: Iterable[Edit],
    since: Mapping[str, int],
    whole_rules: Sequence[RewriteRule],
) -> bool:
    """Return whether a class has another version now, of parts and of those to come.

    ``whole_rules`` are those that the class of the whole has got since.
    """
    chosen = [edit.cls for edit in edits if isinstance(edit, SetArguments) and edit.cls]
    classes = {*chosen, *draft.classes_of_parts()}
    return bool(whole_rules) or any(_rules(cls, since) for cls in classes)


def carried(
    draft: Draft,
    edit: Edit,
    since: Mapping[str, int],
    whole_rules: Sequence[RewriteRule],
) -> Edit | None:
    """Return ``edit`` in the names of now; None if a rule removed what it is of.

    ``whole_rules`` were applied to its paths, and to patterns they are here.
    """

    def rules_at(path: str) -> Sequence[RewriteRule]:
        if not path:
            return whole_rules
        node = draft.nodes_by_path.get(path)
        return () if node is None else _rules(node.cls, since)

    targets = edit.target if isinstance(edit.target, tuple) else (edit.target,)
    carried_targets = (
        carried_pattern(draft, target, rules_at)
        if is_pattern(target)
        else _carried_path(target, rules_at)
        for target in targets
    )
    paths = [path for path in carried_targets if path is not None]
    if not paths:
        return None
    target = tuple(paths) if isinstance(edit.target, tuple) else paths[0]
    edit = edit if target == edit.target else replace(edit, target=target)
    if not isinstance(edit, SetArguments) or not edit.arguments:
        return edit
    # The class of the whole has rules that were applied to all of the tape.
    nodes = [node for node in draft.match(target) if node is not draft.tree]
    classes = [edit.cls] if edit.cls else list(dict.fromkeys(n.cls for n in nodes))
    by_class = [_carried_arguments(cls, edit, since, str(target)) for cls in classes]
    arguments = by_class[0] if by_class else edit.arguments
    if any(other != arguments for other in by_class):
        names = ", ".join(cls.__qualname__ for cls in classes)
        message = (
            "its arguments have been renamed, in different ways in these classes: "
            f"{names}"
        )
        raise FormatError(str(target), message)
    return edit if arguments == edit.arguments else replace(edit, arguments=arguments)


def check_is_met(draft: Draft, edit: Edit, later_edits: Iterable[Edit]) -> None:
    """Raise `FormatError` for an edit of what stands there only after a later wrap.

    Its paths are those after the wrap, when the classes on its way are not known yet,
    and without their rules it would be of another part, or of none.
    """
    if not any(isinstance(e, SetArguments) and e.wraps_at for e in later_edits):
        return
    for target in edit.target if isinstance(edit.target, tuple) else (edit.target,):
        if target and draft.is_stale and not draft.match(target):
            draft.refresh()
        if target and not draft.match(target):
            raise FormatError(
                target,
                "found an edit of a part that a later edit wraps, below a class that "
                "has a new version, so that its rules cannot be applied. Build the "
                "module in code, and load the weights with load_record",
            )


def _carried_path(path: str, rules_at: RulesOf) -> str | None:
    """Return ``path`` after the rules of each part on its way."""
    if not path:
        return path
    names = [*parts(path)]
    for i in range(1, len(names)):
        for rule in rules_at(join(*names[:i])):
            below = new_path(rule, join(*names[i:]))
            if below is None:
                return None
            names[i:] = parts(below)
    return join(*names)


def _carried_arguments(
    cls: type[nn.Module], edit: SetArguments, since: Mapping[str, int], path: str
) -> Mapping[str, Any]:
    arguments = dict(edit.arguments)
    try:
        for rule in _rules(cls, since):
            rule.apply(arguments)
    except ConfigError as error:
        raise FormatError(path, str(error)) from error
    return arguments


def _rules(cls: type[nn.Module], since: Mapping[str, int]) -> list[RewriteRule]:
    """Return the rules that came since; no version means 0."""
    newest = version_of(cls)
    steps = range(since.get(_name(cls), 0) if newest else 0, newest)
    return [rule for step in steps for rule in rules_of(cls).get(step, ())]


def _name(cls: type[nn.Module]) -> str:
    names = names_of(cls)
    return str(names.get(REGISTERED) or names[NAME])
