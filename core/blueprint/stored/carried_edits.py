"""Edits of parts whose class has a newer version than when they were stored.

The class of a part is known only once the constructors have run, so that an edit is
converted to the present names just before it is applied. A pattern refers to parts by
their old names. These are only known for existing parts: each is traced back to its old
name, and a pattern that matched it is converted to one that matches its present name,
and no other part's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from torch import nn

from ....config.errors import ConfigError
from ....config.path import join, parts
from ....config.patterns import brace_choices, is_pattern, n_wildcards, wildcard_values
from ....config.rewriting.rewrite_rule import RewriteRule, supplies_default
from ....config.rules import RenameField
from ....config.short_text import first_names
from ...modules.versions import new_path
from ..construction.draft import Draft
from ..edits.edits import Edit, SetArguments
from ..errors import FormatError
from ..tree.construction_node import ConstructionNode
from ..tree.edit_log import target_matches
from .part_versions import rules_since

RulesOf: TypeAlias = Callable[[str], Sequence[RewriteRule]]
"""The rules that the class of the part at a path has got since."""


def are_outdated(
    draft: Draft,
    edits: Iterable[Edit],
    since: Mapping[str, int],
    whole_rules: Sequence[RewriteRule],
) -> bool:
    """Return whether a class has a newer version, among present and later parts.

    ``whole_rules`` are those that the class of the whole has got since.
    """
    chosen = [edit.cls for edit in edits if isinstance(edit, SetArguments) and edit.cls]
    classes = {*chosen, *draft.classes_of_parts()}
    return bool(whole_rules) or any(rules_since(cls, since) for cls in classes)


def carried(
    draft: Draft,
    edit: Edit,
    since: Mapping[str, int],
    whole_rules: Sequence[RewriteRule],
) -> Edit | None:
    """Return ``edit`` with present names; None if a rule removed its target.

    ``whole_rules`` were applied to its paths; to patterns they are applied here.
    """

    def rules_at(path: str) -> Sequence[RewriteRule]:
        if not path:
            return whole_rules
        node = draft.nodes_by_path.get(path)
        return () if node is None else rules_since(node.cls, since)

    targets = edit.target if isinstance(edit.target, tuple) else (edit.target,)
    carried_targets = (
        _carried_pattern(draft, target, rules_at)
        if is_pattern(target)
        else _carried_path(target, rules_at)
        for target in targets
    )
    paths = [path for path in carried_targets if path is not None]
    if not paths:
        return None
    target = tuple(paths) if isinstance(edit.target, tuple) else paths[0]
    edit = edit if target == edit.target else replace(edit, target=target)
    if not isinstance(edit, SetArguments) or not (edit.arguments or edit.cls):
        return edit
    # The rules of the class of the whole were applied to the whole tape.
    nodes = [node for node in draft.match(target) if node is not draft.tree]
    classes = [edit.cls] if edit.cls else list(dict.fromkeys(n.cls for n in nodes))
    by_class = [_carried_arguments(cls, edit, since, str(target)) for cls in classes]
    if any(arguments_now != by_class[0] for arguments_now in by_class):
        names = ", ".join(cls.__qualname__ for cls in classes)
        message = (
            "its arguments have been renamed, in different ways in these classes: "
            f"{names}"
        )
        raise FormatError(str(target), message)
    arguments = by_class[0] if by_class else edit.arguments
    if len(classes) == 1:
        earlier_nodes = nodes if edit.keeps_arguments else ()
        defaults = _old_defaults(classes[0], earlier_nodes, since, str(target))
        arguments = {**defaults, **arguments}
    return edit if arguments == edit.arguments else replace(edit, arguments=arguments)


def check_is_met(draft: Draft, edit: Edit, later_edits: Iterable[Edit]) -> None:
    """Raise `FormatError` for an edit of a part that a later wrap puts there.

    Its paths are those after the wrap, when the classes along them are not known yet,
    and without their rules it would apply to another part, or to none.
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
    """Return ``path`` after the rules of each part along it."""
    if not path:
        return path
    names = [*parts(path)]
    i = 1
    # A rule may move the part closer to the root, or further from it.
    while i < len(names):
        for rule in rules_at(join(*names[:i])):
            below = new_path(rule, join(*names[i:]))
            if below is None:
                return None
            names[i:] = parts(below)
        i += 1
    return join(*names)


def _carried_arguments(
    cls: type[nn.Module], edit: SetArguments, since: Mapping[str, int], path: str
) -> dict[str, Any]:
    rules = [rule for rule in rules_since(cls, since) if not supplies_default(rule)]
    return _after_rules(rules, edit.arguments, path)


def _old_defaults(
    cls: type[nn.Module],
    nodes: Iterable[ConstructionNode],
    since: Mapping[str, int],
    path: str,
) -> dict[str, Any]:
    """Return the old defaults that no argument of ``nodes`` replaces.

    An edit has some of the arguments: the others may be those of an earlier edit.
    """
    defaults = _after_rules(rules_since(cls, since), {}, path)
    names = {name for node in nodes for name in node.arguments}
    return {name: value for name, value in defaults.items() if name not in names}


def _after_rules(
    rules: Iterable[RewriteRule], arguments: Mapping[str, Any], path: str
) -> dict[str, Any]:
    changed_arguments = dict(arguments)
    try:
        for rule in rules:
            rule.apply(changed_arguments)
    except ConfigError as error:
        raise FormatError(path, str(error)) from error
    return changed_arguments


def _carried_pattern(draft: Draft, pattern: str, rules_of: RulesOf) -> str | None:
    """Return a present pattern for the parts that ``pattern`` matched; None if none.

    FormatError if every one would match other parts as well.
    """
    if draft.is_stale and not draft.match(pattern):
        draft.refresh()
    paths = [path for path in draft.nodes_by_path if path]
    old_paths = {path: _old_path(path, rules_of) for path in paths}
    meant = [
        p
        for p, old_path in old_paths.items()
        if old_path and target_matches(pattern, old_path)
    ]

    def is_right(new_pattern: str) -> bool:
        return [p for p in paths if target_matches(new_pattern, p)] == meant

    if is_right(pattern):
        return pattern
    if not meant:
        return None
    old_patterns = brace_choices(pattern)
    new_patterns = [
        _followed(old_pattern, path, old_paths[path] or "", rules_of)
        for path in meant
        for old_pattern in old_patterns
        if target_matches(old_pattern, old_paths[path] or "")
    ]
    distinct = [*dict.fromkeys(new_patterns)]
    united = distinct[0] if len(distinct) == 1 else f"{{{','.join(distinct)}}}"
    if is_right(united):
        return united
    raise FormatError(
        pattern,
        f"it meant {first_names(meant, 4)}, which its rules have renamed in such a way "
        f"that {united!r} means other parts. Build the module in code, and load the "
        "weights with load_record",
    )


def _old_path(path: str, rules_of: RulesOf) -> str | None:
    """Return the old name of the part at ``path``; None if it is new.

    The class of the whole renames first, then that of each part along the path.
    """
    names = path.split(".")
    for i in reversed(range(len(names))):
        rules, below = rules_of(".".join(names[:i])), ".".join(names[i:])
        old_below = below
        for rule in reversed(rules):
            if isinstance(rule, RenameField):
                old_below = _backwards(rule, old_below)
        if _after(rules, old_below) != below:
            return None
        names[i:] = old_below.split(".")
    return ".".join(names)


def _backwards(rule: RenameField, path: str) -> str:
    return RenameField(rule.new_field, rule.old_field).rename(path) or path


def _after(rules: Iterable[RewriteRule], path: str | None) -> str | None:
    for rule in rules:
        path = None if path is None else new_path(rule, path)
    return path


def _followed(pattern: str, path: str, old_path: str, rules_of: RulesOf) -> str:
    """Return ``pattern``, which matches ``old_path``, after the rules along that.

    If they cannot be applied to it, the result does not match ``path``.
    """
    names, old_names, parts = path.split("."), old_path.split("."), pattern.split(".")
    for i in range(len(names)):
        for rule in rules_of(".".join(names[:i])):
            parts = _after_rule(rule, parts, old_names, i)
            below = new_path(rule, ".".join(old_names[i:]))
            old_names[i:] = [] if below is None else below.split(".")
    if "**" not in parts and len(parts) == len(names):
        # A part such as `b*` matched the old name by its letters; others are in the new
        # one.
        parts = [
            part if wildcard_values([part], [name]) is not None else name
            for part, name in zip(parts, names, strict=True)
        ]
    return ".".join(parts)


def _after_rule(
    rule: RewriteRule, parts: list[str], names: Sequence[str], start: int
) -> list[str]:
    """Return the pattern ``parts`` of ``names`` after a rule for those at ``start``."""
    values = wildcard_values(parts, names)
    position = 0
    for i, part in enumerate(parts if values is not None else ()):
        if position == start and part != "**":
            # The rule cannot know what a `**` matches.
            end = next((j for j in range(i, len(parts)) if parts[j] == "**"), None)
            tail = new_path(rule, ".".join(parts[i:end]))
            renamed_parts = [] if tail is None else tail.split(".")
            return [*parts[:i], *renamed_parts, *(parts[end:] if end else ())]
        bound = (values or ())[n_wildcards(parts[:i])] if part == "**" else part
        position += len([name for name in bound.split(".") if name])
    return parts
