"""Objects of kinds that a newer version may write."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import RecordMismatchError, open_record
from burnish.records.entries.entries import with_parts
from burnish.train import HyperState


@dataclass(frozen=True)
class Config:
    size: int = 1


@dataclass
class State:
    step: int
    draws: torch.Generator


@pytest.mark.parametrize(
    ("field", "value", "content"),
    [("kind", "quantum", "unknown kind 'quantum'"), ("about", "Q", "generator 'Q'")],
)
def test_an_object_of_an_unknown_kind_is_told_and_not_taken_for_none(
    tmp_path: Path, field: str, value: str, content: str
) -> None:
    def open_run() -> HyperState[Config, State]:
        return HyperState.load(
            Config,
            State,
            lambda _: State(1, torch.Generator()),
            checkpoint_dir=tmp_path,
        )

    folder = Path(open_run().save())
    (folder / "digests.txt").unlink()
    file = folder / "state.draws.mpk"
    record = open_record(file)
    record.load_all()
    metadata: dict[str, Any] = dict(record.metadata)
    metadata["blob"] = {**metadata["blob"], field: value}
    file.write_bytes(with_parts(record, metadata=metadata).save())

    with pytest.raises(RecordMismatchError, match=rf"draws: found .*{content}"):
        open_run()
