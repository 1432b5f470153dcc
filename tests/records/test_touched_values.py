"""What a load says of tensors of a file that somebody has changed since."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core import from_record, load_record, report_of
from burnish.records import FlatRecord, RecordChecksumError, open_record, verify_file
from burnish.records.entries.entries import path_index


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "net.mpk"
    burnish.save_record(nn.Linear(2, 2), file)
    return file


def net() -> nn.Module:
    return nn.Linear(2, 2)


def changed(file: Path) -> FlatRecord:
    record = open_record(file)
    record["weight"].zero_()
    return record


HANDED_ON: dict[str, Callable[[Path], FlatRecord]] = {
    "itself": changed,
    "renamed": lambda f: open_record(changed(f), rename={"weight": "weight"}),
    "converted": lambda f: open_record(changed(f), dtype=torch.float64),
    "copied": lambda f: changed(f).clone(),
    "mapped": lambda f: changed(f).map_tensors(lambda tensor: tensor),
    "pickled": lambda f: pickle.loads(pickle.dumps(changed(f))),
}


@pytest.mark.parametrize("handed_on", HANDED_ON.values(), ids=HANDED_ON)
def test_values_changed_after_they_were_read_are_loaded_as_live_ones(
    handed_on: Callable[[Path], FlatRecord], file: Path
) -> None:
    built: Any = from_record(net, handed_on(file))
    report = load_record(net(), handed_on(file))

    assert not built.weight.any()
    assert report_of(built).verified == "live"  # type: ignore[union-attr]  # it was built by from_record
    assert report.verified == "live"


def test_verifying_a_record_reads_the_file_whatever_became_of_the_values(
    file: Path,
) -> None:
    record = changed(file)
    content = bytearray(file.read_bytes())

    assert verify_file(record).verified == "all"

    content[content.index(open_record(file)["weight"].numpy().tobytes())] ^= 1
    broken = open_record(bytes(content))
    path_index(broken)["weight"].touched = torch.zeros(2, 2)
    with pytest.raises(RecordChecksumError, match="weight"):
        verify_file(broken)


def test_values_that_are_no_file_s_are_not_called_verified(file: Path) -> None:
    record = open_record(file).map_tensors(torch.clone)

    assert record.verified == "live"
    assert verify_file(record).verified == "none"
