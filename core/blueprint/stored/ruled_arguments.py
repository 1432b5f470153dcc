"""Upgrade rules for the arguments in a stored blueprint, shown as those of a module.

A blueprint has ``{"__tuple__": [3, 3]}`` where hyperparameters have a list and a note
beside it. A rule is written once for both, so that it gets the list here, too.
"""

from typing import Any

from ....config.plain.kinds import float_name
from ....config.plain.node import NON_FINITE
from ....config.rewriting.rewrite_rule import RewriteRule
from ....config.rules import MapFieldValue

_LISTS = frozenset({"__tuple__", "__set__"})
_TEXTS = frozenset({"__dtype__", "__device__", "__path__"})


def apply_to_arguments(rule: RewriteRule, arguments: dict[str, Any]) -> None:
    """Change stored ``arguments`` as ``rule`` changes hyperparameters, in place."""
    opened = {name: _opened(node) for name, node in arguments.items()}
    if isinstance(rule, MapFieldValue):
        function = rule.map_fn
        name = rule.rendered or getattr(function, "__qualname__", repr(function))
        rule = MapFieldValue(
            rule.field, lambda value: _like(value, function(value)), name
        )
    rule.apply(opened)
    arguments.clear()
    arguments.update({name: _closed(value) for name, value in opened.items()})


class _List(list[Any]):
    """A list that represents a value of another kind."""

    tag = ""


class _Text(str):
    """A string that represents a value of another kind."""

    tag = ""


def _opened(node: Any) -> Any:
    """Return ``node`` as hyperparameters have it, with its kinds remembered."""
    if isinstance(node, list):
        return [_opened(item) for item in node]
    if not isinstance(node, dict):
        return node
    tag = next(iter(node), "") if len(node) == 1 else ""
    content = node.get(tag)
    if tag in _LISTS and isinstance(content, list):
        return _tagged(_List(map(_opened, content)), tag)
    if tag in _TEXTS and isinstance(content, str):
        return _tagged(_Text(content), tag)
    if tag == "__float__" and content in NON_FINITE:
        return NON_FINITE[content]
    # The content of other tags is not changed.
    is_plain = not (isinstance(tag, str) and tag.startswith("__"))
    return {k: _opened(v) for k, v in node.items()} if is_plain else node


def _closed(value: Any) -> Any:
    """Return the node for a result of `_opened`, or for what a rule replaced it by."""
    if isinstance(value, _List | _Text):
        items = [*map(_closed, value)] if isinstance(value, _List) else str(value)
        return {value.tag: items}
    if isinstance(value, tuple | set | frozenset):
        tag = "__tuple__" if isinstance(value, tuple) else "__set__"
        return {tag: [*map(_closed, value)]}
    if isinstance(value, list):
        return [*map(_closed, value)]
    if isinstance(value, dict):
        return {k: _closed(v) for k, v in value.items()}
    name = float_name(value) if isinstance(value, float) else None
    return value if name is None else {"__float__": name}


def _like(before: Any, value: Any) -> Any:
    """Return ``value`` as the kind that ``before`` had, if it looks like it."""
    if isinstance(before, _List) and type(value) is list:
        return _tagged(_List(value), before.tag)
    if isinstance(before, _Text) and type(value) is str:
        return _tagged(_Text(value), before.tag)
    return value


def _tagged(value: Any, tag: str) -> Any:
    value.tag = tag
    return value
