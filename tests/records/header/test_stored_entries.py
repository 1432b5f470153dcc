# pyright: reportPrivateUsage=false, reportIncompatibleVariableOverride=false
# Threads and interrupts come between two steps of the same object.
"""Entries of a file's table: one is made without the others, and only once."""

import copy
import dataclasses
from typing import Any

import pytest
import torch

from burnish.records.entries.entry import Entry, ParamId
from burnish.records.header.columns import Table
from burnish.records.header.stored_entries import StoredEntries

ID = ParamId.draw()


def stored() -> StoredEntries:
    columns: dict[str, list[Any]] = {
        "path": ["a", "b", "c"],
        "kind": ["parameter", "buffer", "buffer"],
        "id": [str(ID), None, None],
        "dtype": ["float32", "int64", "float16"],
        "shape": [[2, 3], [], [1, 2, 1, 1]],
        "requires_grad": [True, False, False],
        "ties": [[0, ["tied"]]],
        "memory_format": [[2, "channels_last"]],
    }
    return StoredEntries(Table(columns))


def test_an_entry_has_what_its_row_says() -> None:
    a, b, c = stored().all()

    assert (a.path, a.kind, a.dtype, a.shape) == (
        "a",
        "parameter",
        torch.float32,
        (2, 3),
    )
    assert isinstance(a.id, ParamId)
    assert (a.id, a.requires_grad, a.ties) == (ID, True, ("tied",))
    assert (b.id, b.requires_grad, b.ties, b.shape) == (None, False, (), ())
    assert (b.memory_format, c.memory_format) == (None, "channels_last")


def test_an_entry_is_the_same_object_whoever_asks_for_it() -> None:
    entries = stored()

    first = entries.at("a")
    all_of_them = entries.all()

    assert first is all_of_them[0] is entries.at("a") is entries.at("tied")
    assert entries.all() is all_of_them
    assert entries.at("b") is all_of_them[1]


def test_what_interrupts_the_making_of_all_entries_leaves_them_to_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries, new_entry = stored(), StoredEntries._new_entry

    def interrupted(self: StoredEntries, table: Table, number: int) -> Entry:
        if number == 1:
            raise KeyboardInterrupt
        return new_entry(self, table, number)

    with monkeypatch.context() as patch:
        patch.setattr(StoredEntries, "_new_entry", interrupted)
        with pytest.raises(KeyboardInterrupt):
            entries.all()

    assert [(e.path, e.id) for e in entries.all()] == [
        ("a", ID),
        ("b", None),
        ("c", None),
    ]


def test_a_path_is_found_while_another_thread_makes_all_entries() -> None:
    class Interleaved(StoredEntries):
        meanwhile: Any = None

        @property
        def _all(self) -> list[Entry]:  # type: ignore[override]  # a step between two
            value = self.made
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                meanwhile()
            return value

        @_all.setter
        def _all(self, value: list[Entry]) -> None:
            self.made = value

    for path in ("c", "tied"):
        entries = Interleaved(stored()._table)
        entries.meanwhile = entries.all

        entry = entries.at(path)

        assert entry is not None
        assert entry in entries.all()


def noting() -> tuple[StoredEntries, list[str]]:
    """Return entries, and the paths of those whose payload was made."""
    entries, placed = stored(), list[str]()

    def payload_of(_: int, entry: Entry) -> Any:
        placed.append(entry.path)
        return torch.ones(1)

    entries.place(payload_of)
    return entries, placed


def test_one_entry_is_made_without_the_others() -> None:
    entries, placed = noting()

    assert entries.at("nothing") is None
    assert placed == []
    entries.at("b")
    entries.all()
    assert placed == []


def test_an_entry_keeps_the_payload_that_somebody_has_asked_for() -> None:
    entries, placed = noting()
    a, b, _ = entries.all()
    payload = a.source

    assert a.source is payload is a.read_stored()
    assert b.read_stored() is not b.read_stored()
    assert placed == ["a", "b", "b"]


def test_an_entry_takes_another_id_and_another_source() -> None:
    a, b, c = stored().all()
    values = torch.zeros(2, 3)

    a.source, b.id = values, ParamId("x")

    assert (a.id, a.tensor(), a.is_stored) == (ID, values, False)
    assert (b.id, b.source, b.is_stored) == ("x", c.source, True)


def test_a_copy_is_of_all_that_an_entry_has() -> None:
    a, _, _ = stored().all()

    for twin in (dataclasses.replace(a, path="twin"), copy.copy(a)):
        assert (twin.id, twin.source, twin.ties) == (ID, a.source, ("tied",))
        assert (twin.dtype, twin.shape, twin.is_live) == (a.dtype, a.shape, False)


def test_sizes_are_those_of_the_stored_values() -> None:
    assert stored().sizes == [24, 8, 4]


def test_paths_lead_to_entries_after_all_were_made() -> None:
    entries = stored()
    all_of_them = entries.all()

    assert entries.at("c") is all_of_them[2]
    assert entries.at("tied") is all_of_them[0]
    assert len(entries) == 3


def test_an_empty_table_has_no_entries() -> None:
    columns = ("path", "kind", "id", "dtype", "shape", "requires_grad")
    names = (*columns, "ties", "memory_format")
    empty = StoredEntries(Table({name: [] for name in names}))

    assert empty.all() == [] == empty.all()
    assert empty.at("a") is None
