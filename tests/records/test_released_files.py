"""Files that every released version wrote still load, value by value."""

import math
from pathlib import Path

import pytest
import torch

from burnish.records import open_record, verify_file
from burnish.records.entries.entries import path_index

from .golden import Mode, State, record, state

NETS = [
    "net.mpk",
    "net.half.mpk",
    "net.mpk.zst",
    "net.mpk.gz",
    "net.json",
    "net.base64.json",
    "net.safetensors",
]
FOLDERS = sorted((Path(__file__).parent.parent / "data").glob("v*"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", NETS)
def test_a_modules_record_still_loads(folder: Path, name: str) -> None:
    found, expected = open_record(folder / name), record()

    assert verify_file(folder / name).verified == "all"
    assert list(found) == list(expected)
    assert found["decoder.weight"] is found["encoder.0.weight"]
    assert found.metadata["epoch"] == 3
    assert found.metadata["note"] == "é"
    for path, entry in path_index(expected).items():
        values = entry.tensor()
        if "half" in name and entry.kind == "parameter":
            values = values.half()
        assert torch.equal(found[path], values), path
        stored = path_index(found)[path]
        assert (stored.id, stored.kind) == (entry.id, entry.kind)
        assert stored.requires_grad == entry.requires_grad


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", ["state.mpk", "state.json"])
def test_a_typed_record_still_loads(folder: Path, name: str) -> None:
    found, expected = State.load(folder / name), state()

    assert found.mode is Mode.EVAL
    assert (found.step, found.note, found.raw) == (7, "é", b"\x00\xff")
    assert (found.pair, found.huge) == (expected.pair, expected.huge)
    assert found.losses == [0.5, math.inf]
    assert torch.equal(found.moments["a.b"].m, torch.arange(4.0))
    assert found.moments["a.b"].v is None


def test_the_bytes_of_version_1_are_still_those_that_are_written() -> None:
    file = FOLDERS[0] / "net.mpk"

    written = record().save(metadata={"epoch": 3, "note": "é"})

    assert written == file.read_bytes()
