"""A record inside a record, where no field declares what it is."""

import dataclasses
from collections.abc import Sequence

from ...config.path import join
from ...config.plain.codec import Node
from .entries import Entries
from .entry import Entry
from .node_names import mismatch, name_of
from .nodes import escape, leaves_of, renumbered, tag_of
from .wrapped_tensors import wrapper_in


def nested_entries(
    node: Node, entries: Sequence[Entry], file: str, path: str
) -> Entries:
    """Return the record in ``node``, which counts ``entries``, over its own entries.

    Raises `RecordMismatchError`, which names ``file`` and ``path``.
    """
    tag, content = tag_of(node)
    if tag != "$record":
        raise mismatch(file, path, name_of(node), "a record")
    nested: dict[int, Entry] = {}
    nodes: dict[str, Node] = {}

    def collect(part: Node, at: str) -> None:
        if isinstance(part, dict):
            wrapper = wrapper_in(part)
            if wrapper is not None:
                nodes[at], parts = wrapper
                for name, item in parts.items():
                    collect(item, join(at, name))
                return
            tag, content = tag_of(part)
            if tag == "$tensor":
                if content in nested:
                    nested[content].ties += (at,)
                    return
                nested[content] = dataclasses.replace(
                    entries[content], path=at, ties=()
                )
                return
            if tag is None and content:
                for key, item in content.items():
                    collect(item, join(at, escape(key)))
                return
        nodes[at] = part

    collect(content[1], "")
    # Numbers in the plain data count the entries of the whole; here they count these.
    for at, part in nodes.items():
        for number in leaves_of(part):
            if number not in nested:
                e = entries[number]
                nested[number] = dataclasses.replace(
                    e, path=f"{at}.{number}", kind="extra", ties=()
                )
    new_numbers = {number: i for i, number in enumerate(nested)}
    return Entries.of(
        list(nested.values()),
        tree={at: renumbered(part, new_numbers) for at, part in nodes.items()},
        metadata={},
        type_name=content[0],
    )
