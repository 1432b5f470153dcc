"""The limits at a small size: every step runs, and memory is counted by tracemalloc."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.records.formats import messagepack
from burnish.records.recorder import Recorder

from .limits import (
    PARTS,
    Cost,
    Row,
    call_command,
    command_lines,
    large_tensors,
    look_at,
    many_entries,
    rows,
    table,
)

N = 1050
"""So that what any file takes is little of it, and more than a table for people has."""


@pytest.fixture(autouse=True)
def read_by_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read headers column by column, as those of 20,000 entries and more are."""
    monkeypatch.setattr(messagepack, "_COLUMNWISE", 0)


def peak(step: Callable[[], Any]) -> float:
    """Return the most memory that a step allocates, in bytes an entry.

    Of a step that was taken for another file: what is imported is not a part of it.
    """
    # Garbage of before is not traced: it is enough that all steps begin alike.
    gc.collect(1)
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1] / N
    finally:
        tracemalloc.stop()


MOST = {".mpk": 600, ".mpk.zst": 650, ".safetensors": 1600}
"""Bytes of Python objects an entry; as they were measured, and a tenth more."""


@pytest.mark.parametrize("suffix", MOST)
def test_an_entry_takes_little_memory_in_every_step(
    suffix: str, tmp_path: Path
) -> None:
    def steps_of(n: int) -> dict[str, Callable[[], Any]]:
        record, file = many_entries(n), tmp_path / f"{n}{suffix}"
        return {
            "save": lambda: Recorder(suffix[1:]).save(record, file),
            "open": lambda: look_at(file),
            "verify": lambda: burnish.verify_file(file),
        }

    for step in steps_of(8).values():
        step()

    peaks = {name: peak(step) for name, step in steps_of(N).items()}
    assert {n: p for n, p in peaks.items() if p > MOST[suffix]} == {}


OF_COMMANDS = {
    "show": 530,
    "show --all": 450,
    "show --stats": 640,
    "diff --json": 1000,
    "convert": 770,
}
"""Bytes of Python objects an entry; of a pair of them for ``diff``."""


def lines_for(n: int, folder: Path) -> dict[str, list[str]]:
    a, b = folder / f"a{n}.mpk", folder / f"b{n}.mpk"
    record = many_entries(n)
    burnish.save_record(record, a)
    burnish.save_record(record.map_tensors(lambda values: values + 1), b)
    return command_lines(a, b, folder)


@pytest.mark.parametrize("command", OF_COMMANDS)
def test_a_command_takes_little_memory_for_an_entry(
    command: str, tmp_path: Path
) -> None:
    call_command(lines_for(8, tmp_path)[command])
    words = lines_for(N, tmp_path)[command]

    assert peak(lambda: call_command(words)) < OF_COMMANDS[command]


def test_a_reader_of_one_takes_no_more_than_one_of_all(tmp_path: Path) -> None:
    file = tmp_path / "x.mpk"

    def read_one() -> None:
        with burnish.open_record(file) as record:
            assert record["layers.7.w"] == 7

    burnish.save_record(many_entries(8), file)
    read_one()
    burnish.save_record(many_entries(N), file)

    assert peak(read_one) < 400


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_measured(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, size, suffixes, *steps = PARTS[part]
    monkeypatch.setitem(PARTS, part, (name, size, suffixes[:1], *steps))

    found = list(rows(part, 1 / 2000 if part != "large" else 1 / 4096))

    assert len(found) == (7 if part == "commands" else 3)
    assert all(row.cost.memory <= row.most for row in found)
    assert table(["x"]).endswith("\nx")


def test_a_row_says_what_was_exceeded() -> None:
    much = Row("a", "save", 10, Cost(2.0, 1 << 30), Cost(1.0, 1))

    assert much.cells()[3:] == ["2.0", "1024", "64", "**no**"]


def test_large_tensors_take_no_memory_of_their_own() -> None:
    tensors = large_tensors(1 << 33)

    assert sum(t.nbytes for t in tensors.values()) == 1 << 33
    assert all(t.untyped_storage().nbytes() == 4 for t in tensors.values())
    assert tensors["large"].nbytes > 1 << 32
