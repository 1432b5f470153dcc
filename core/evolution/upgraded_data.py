"""The plain data beside the tensors of a record, and what rules make of it.

That is extra state, and what is said of tensors that wrap others.  It names the tensors
in it by their numbers, which change with every tensor that a rule splits or drops.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...config.patterns import wildcard_values
from ...config.plain.node import Node
from ...config.process.interrupts import raise_of_signal
from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.rules import MapFieldValue
from ...records.entries.entries import (
    Entries,
    data_leaf,
    renumbered_tree,
    with_parts,
    wrappers_in,
)
from ...records.entries.entry import Entry
from ...records.entries.nested_data import ExtraStateDecoding, ExtraStateEncoder
from ...records.entries.nodes import entry_numbers, renumbered
from ...records.entries.wrapped_tensors import make_wrapper
from ...records.errors import RecordError
from ..modules.versions import path_after_rule
from .tensor_rules import TensorRule


@dataclass(frozen=True, slots=True)
class _Item:
    """Plain data, and the rules that compute its new value of it."""

    node: Node
    rules: tuple[MapFieldValue, ...] = ()


class UpgradedData:
    """The plain data of one record by path, as the rules leave it one after another."""

    def __init__(self, record: Entries) -> None:
        self._record = record
        self._items = {path: _Item(node) for path, node in (record.tree or {}).items()}
        self._wrappers = wrappers_in(record.tree or {})
        self._tensor_paths: dict[int, str | None] = {
            i: record.entries()[i].path
            for item in self._items.values()
            for i in entry_numbers(item.node)
        }
        """The current path of each tensor in the data, by its number in the record."""

    def apply(self, prefix: str, rule: RewriteRule) -> None:
        """Take the step of ``rule``, of the module whose paths begin with ``prefix``.

        Raises `RecordError` for two of one name, and for a tensor that wraps others
        where the rule would compute something else of it.
        """
        items: dict[str, _Item] = {}
        wrappers: set[str] = set()
        for path, item in self._items.items():
            new_path = path_after_rule(path, prefix, rule)
            if new_path is None:
                continue
            if new_path in items:
                raise RecordError(f"{rule}: two entries would be named {new_path}")
            if path in self._wrappers:
                wrappers.add(new_path)
            items[new_path] = self._after(item, path, prefix, rule)
        self._items, self._wrappers = items, frozenset(wrappers)
        for number, path in self._tensor_paths.items():
            if path is not None:
                self._tensor_paths[number] = path_after_rule(path, prefix, rule)

    def parts_with(self, entries: list[Entry]) -> tuple[list[Entry], dict[str, Node]]:
        """Return the data as nodes, beside ``entries`` and those that it has itself.

        ``entries`` are what the rules made of the record's.  Raises `RecordError` for
        data of which they leave a tensor nowhere.
        """
        tree = self._renumbered(entries)
        computed = {path: item for path, item in self._items.items() if item.rules}
        if not computed:
            return entries, tree
        record = with_parts(self._record, entries=entries)
        values = {
            path: _value(record, path, tree[path], computed[path].rules)
            for path in computed
        }
        # Their tensors are in the new data, if at all.
        computed_numbers = {i for path in computed for i in entry_numbers(tree[path])}
        remaining = [i for i in range(len(entries)) if i not in computed_numbers]
        number = {i: place for place, i in enumerate(remaining)}
        new_entries = [entries[i] for i in remaining]
        for path, node in tree.items():
            if path not in values:
                tree[path] = renumbered(node, number)
        for path, value in values.items():
            tree[path] = _encoded(path, value, new_entries)
        return new_entries, tree

    def _renumbered(self, entries: list[Entry]) -> dict[str, Node]:
        """Return the nodes, which name the tensors by their numbers in ``entries``."""
        numbers = {p: i for i, e in enumerate(entries) for p in (e.path, *e.ties)}
        number = {
            old_path: numbers[path]
            for old_path, path in self._tensor_paths.items()
            if path is not None and path in numbers
        }

        def refusal(path: str, i: int) -> Exception:
            name = self._record.entries()[i].path
            return RecordError(
                f"{path}: the rules leave nothing of {name}, a tensor in the data "
                f"there. Rename or delete {path} as a whole, or give the data another "
                "form with MapFieldValue"
            )

        nodes = {path: item.node for path, item in self._items.items()}
        return renumbered_tree(nodes, number, refusal)

    def _after(self, item: _Item, path: str, prefix: str, rule: RewriteRule) -> _Item:
        """Return the data at ``path`` with the rule noted, if it computes the data."""
        if not path.startswith(prefix):
            return item
        name = path[len(prefix) :]
        is_mapped = (
            isinstance(rule, MapFieldValue)
            and wildcard_values(rule.computed_field, name.split(".")) is not None
        )
        is_rearranged = isinstance(rule, TensorRule) and rule.concerns(name)
        if path in self._wrappers and (is_mapped or is_rearranged):
            raise RecordError(
                f"{rule}: {path} is a tensor that wraps others, which a rule can only "
                "rename or delete"
            )
        if not isinstance(rule, MapFieldValue) or not is_mapped:
            return item
        return _Item(item.node, (*item.rules, rule))


def _value(
    record: Entries, path: str, node: Node, rules: Sequence[MapFieldValue]
) -> Any:
    """Return what ``rules`` make of the data in ``node``."""
    file = record.reading.file
    wrap = partial(make_wrapper, file=file)
    decoding = ExtraStateDecoding(partial(data_leaf, record), wrap, file)
    # A function may work in place, and the tensors are those of the record.
    value = copy.deepcopy(decoding.decode(node))
    for rule in rules:
        try:
            value = rule.map_fn(value)
        except Exception as error:  # users' code
            raise_of_signal(error)
            problem = f"{type(error).__name__}: {error}"
            raise RecordError(
                f"{path}: the function of a rule raised {problem}"
            ) from error
    return value


def _encoded(path: str, value: object, entries: list[Entry]) -> Node:
    """Return ``value`` as a node, its tensors added to ``entries``."""
    encoder = ExtraStateEncoder()
    try:
        node = encoder.encode(value, path)
    except TypeError as error:
        message = f"{error}. The function of a rule returned it"
        raise RecordError(message) from error
    return renumbered(node, encoder.move_to(entries))
