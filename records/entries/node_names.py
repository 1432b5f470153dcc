"""What nodes are called in errors, and the error of one that does not fit."""

from ...config.plain.node import Node
from ...config.short_text import with_article
from ..errors import RecordMismatchError
from .nodes import scalar, tag_of
from .wrapper_forms import wrapper_in


def mismatch(file: str, path: str, content: str, expected: str) -> RecordMismatchError:
    """Return the error that names ``path``, what was found and what was expected."""
    return RecordMismatchError(
        file, [f"{path or 'record'}: found {content}, expected {expected}"]
    )


def node_name(node: Node) -> str:
    """Return what ``node`` is in words."""
    if isinstance(node, dict) and len(node) == 1:
        if wrapper_in(node):
            return "a tensor that wraps others"
        tag, content = tag_of(node)
        if tag == "$record":
            return with_article(content[0])
        if tag in ("$int", "$float"):
            return f"{scalar(tag, content)!r:.60}"
        if tag is not None:
            return _WORDS[tag].format(content)
    return (
        f"{node!r:.60}"
        if not isinstance(node, dict | list)
        else with_article(type(node).__name__)
    )


_WORDS = {
    "$tensor": "a tensor",
    "$array": "an array",
    "$bytes": "bytes",
    "$tuple": "a tuple",
    "$dict": "a dict",
    "$enum": "the member {!r:.40} of an enum",
}
"""What a node is in words, by its tag."""
