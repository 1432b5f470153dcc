"""The limits at a small size: every step runs, and memory is counted by tracemalloc."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.records.recorder import Recorder

from .limits import (
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

N = 20_000
"""Enough for a header that is read column by column."""


N_OF_COMMANDS = 1500
"""So that what a command takes for any file is a part that can be neglected."""


def peak(step: Callable[[], Any], n: int = N) -> float:
    """Return the most memory that a step allocates, in bytes an entry."""
    step()
    gc.collect()
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1] / n
    finally:
        tracemalloc.stop()


MOST = {".mpk": 600, ".mpk.zst": 850}
"""Bytes of Python objects an entry; as they were measured, and a tenth more."""


@pytest.mark.parametrize("suffix", MOST)
def test_an_entry_takes_little_memory_in_every_step(
    suffix: str, tmp_path: Path
) -> None:
    record, file = many_entries(N), tmp_path / f"x{suffix}"
    recorder = Recorder(suffix[1:])
    recorder.save(record, file)

    steps: dict[str, Callable[[], Any]] = {
        "save": lambda: recorder.save(record, file),
        "open": lambda: look_at(file),
        "verify": lambda: burnish.verify_file(file),
    }

    peaks = {name: peak(step) for name, step in steps.items()}
    assert {n: p for n, p in peaks.items() if p > MOST[suffix]} == {}


OF_COMMANDS = {
    "show": 620,
    "show --all": 790,
    "show --stats": 700,
    "diff --json": 1300,
    "convert": 850,
}
"""Bytes of Python objects an entry; of a pair of them for ``diff``."""


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("commands")
    a, b = folder / "a.mpk", folder / "b.mpk"
    record = many_entries(N_OF_COMMANDS)
    burnish.save_record(record, a)
    burnish.save_record(record.map_tensors(lambda values: values + 1), b)
    return a, b


@pytest.mark.parametrize("command", OF_COMMANDS)
def test_a_command_takes_little_memory_for_an_entry(
    command: str, two_files: tuple[Path, Path], tmp_path: Path
) -> None:
    words = command_lines(*two_files, tmp_path)[command]

    most = peak(lambda: call_command(words), N_OF_COMMANDS)

    assert most < OF_COMMANDS[command]


def test_columns_alone_take_a_part_of_what_entries_do(tmp_path: Path) -> None:
    file = tmp_path / "x.mpk"
    burnish.save_record(many_entries(N), file)

    def read_one() -> None:
        with burnish.open_record(file) as record:
            assert record[f"layers.{N - 1}.w"] == N - 1

    assert peak(read_one) < 460


@pytest.mark.parametrize("part", ["entries", "commands", "modules", "large"])
def test_every_part_is_measured(part: str) -> None:
    found = list(rows(part, 1 / 2000 if part != "large" else 1 / 4096))

    assert len(found) == {"large": 6, "commands": 21}.get(part, 12)
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
