"""A record inside a record, where no field declares what it is."""

import dataclasses

from ..config.path import join
from .entry import Entry
from .flat_record import FlatRecord
from .node_names import mismatch, name_of
from .nodes import Node, escape, leaves_of, renumbered, tag_of


def nested_record(node: Node, flat: FlatRecord, file: str, path: str) -> FlatRecord:
    """Return a nested record without declared fields as one over its own entries."""
    tag, content = tag_of(node)
    if tag != "$record":
        raise mismatch(file, path, name_of(node), "a record")
    entries: dict[int, Entry] = {}
    plain: dict[str, Node] = {}

    def collect(part: Node, at: str) -> None:
        if isinstance(part, dict):
            tag, inner = tag_of(part)
            if tag == "$tensor":
                if inner in entries:
                    entries[inner].ties += (at,)
                    return
                entries[inner] = dataclasses.replace(
                    flat.entries()[inner], path=at, ties=()
                )
                return
            if tag is None and inner:
                for key, item in inner.items():
                    collect(item, join(at, escape(key)))
                return
        plain[at] = part

    collect(content[1], "")
    # Numbers in the plain data count the file's entries; here they count these.
    for at, part in plain.items():
        for inner in leaves_of(part):
            if inner not in entries:
                e = flat.entries()[inner]
                entries[inner] = dataclasses.replace(
                    e, path=f"{at}.{inner}", kind="extra", ties=()
                )
    number = {inner: i for i, inner in enumerate(entries)}
    return FlatRecord.of(
        list(entries.values()),
        tree={at: renumbered(part, number) for at, part in plain.items()},
        metadata={},
        type_name=content[0],
    )
