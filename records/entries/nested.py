"""A record inside a record, where no field declares its type."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ...config.path import join
from ...config.plain.node import Node
from .encoder import Encoder
from .entries import Entries
from .entry import Entry
from .nodes import (
    entry_numbers,
    escape,
    mismatch,
    node_name,
    record_in,
    renumbered,
    tag_of,
)
from .stored_wrappers import StoredWrappers
from .wrapper_forms import wrapper_in, wrapper_node


def nested_entries(
    node: Node, entries: Sequence[Entry], file: str, path: str
) -> Entries:
    """Return the record in ``node``, which refers to ``entries`` by number.

    It gets its own entries. Raises `RecordMismatchError`, which names ``file`` and
    ``path``.
    """
    named_fields = record_in(node)
    if named_fields is None:
        raise mismatch(file, path, node_name(node), "a record")
    name, fields = named_fields
    record_inside = _NestedRecord(entries)
    record_inside.add(fields, "")
    record_inside.add_entries_of_plain_data()
    # Plain data numbers the entries of the whole record; here it numbers these.
    new_numbers = {number: i for i, number in enumerate(record_inside.entries)}
    return Entries.of(
        list(record_inside.entries.values()),
        tree={
            at: renumbered(part, new_numbers)
            for at, part in record_inside.nodes.items()
        },
        metadata={},
        type_name=name,
    )


class _NestedRecord:
    """The entries of a record inside another by number, and its plain data."""

    def __init__(self, entries_of_whole: Sequence[Entry]) -> None:
        self._entries_of_whole = entries_of_whole
        self.entries: dict[int, Entry] = {}
        self.nodes: dict[str, Node] = {}

    def add(self, node: Node, path: str) -> None:
        """Add ``node``, which is at ``path``, and everything below it."""
        if not isinstance(node, dict):
            self.nodes[path] = node
            return
        wrapper = wrapper_in(node)
        if wrapper is not None:
            self.nodes[path], parts = wrapper
            for name, part in parts.items():
                self.add(part, join(path, name))
            return
        tag, content = tag_of(node)
        if tag == "$tensor":
            self._add_entry(content, path)
        elif tag is None and content:
            for key, part in content.items():
                self.add(part, join(path, escape(key)))
        else:
            self.nodes[path] = node

    def add_entries_of_plain_data(self) -> None:
        """Add entries without a path in the record, to which plain data refers."""
        for path, node in self.nodes.items():
            for number in entry_numbers(node):
                if number not in self.entries:
                    self.entries[number] = dataclasses.replace(
                        self._entries_of_whole[number],
                        path=f"{path}.{number}",
                        kind="extra",
                        ties=(),
                    )

    def _add_entry(self, number: int, path: str) -> None:
        if number in self.entries:
            self.entries[number].ties += (path,)
        else:
            entry = self._entries_of_whole[number]
            self.entries[number] = dataclasses.replace(entry, path=path, ties=())


def nested_node(record: Entries, encoder: Encoder, path: str) -> Node:
    """Return the node of ``record``; its entries are added to the encoder's.

    Their paths are below ``path``. `nested_entries` is the inverse.
    """
    number = dict[int, int]()
    for i, entry in enumerate(record.entries()):
        number[i] = len(encoder.entries)
        ties = tuple(join(path, tie) for tie in entry.ties)
        encoder.entries.append(
            dataclasses.replace(entry, path=join(path, entry.path), ties=ties)
        )
    if record.is_typed:
        return renumbered(record.tree, number)
    nested: dict[str, Any] = {}
    for place, node in _nodes_by_path(record).items():
        _nest(nested, place, renumbered(node, number))
    return {"$record": [record.type_name, nested]}


def _nodes_by_path(record: Entries) -> dict[str, Node]:
    """Return the values of a module's record by path, wrappers as one node each."""
    wrappers = StoredWrappers(record)
    owners = wrappers.outermost()
    number = {id(entry): i for i, entry in enumerate(record.entries())}

    def part(entry: Entry) -> Node:
        return {"$tensor": number[id(entry)]}

    def wrap(form: object, parts: Mapping[str, Node], path: str) -> Node:
        return wrapper_node(record.tree[path], [*parts.values()])

    nodes: dict[str, Node] = {
        place: part(entry)
        for entry in record.entries()
        for place in (entry.path, *entry.ties)
        if entry.kind != "extra" and place not in owners
    }
    for place, node in (record.tree or {}).items():
        if place not in wrappers.forms:
            nodes[place] = node
        elif place not in owners:
            nodes[place] = wrappers.assembled(place, part, wrap)
    return nodes


def _nest(nested: dict[str, Any], path: str, node: Node) -> None:
    *parents, name = path.split(".")
    for part in parents:
        nested = nested.setdefault(part, {})
    nested[name] = node
