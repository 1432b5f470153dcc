"""Metadata holds the user's keys and ours apart."""

from pathlib import Path

import pytest
import torch

from burnish.records import (
    Record,
    open_record,
)

from ..opened import TENSORS


def test_metadata_holds_the_users_keys_and_ours_apart(file: Path) -> None:
    metadata = open_record(file).metadata

    assert metadata["epoch"] == 3
    assert metadata["note"] == {"a": [1]}
    assert metadata["burnish"]["type"] == "state dict"
    assert metadata["burnish"]["library"].startswith("burnish ")


def test_metadata_that_is_no_plain_data_is_refused() -> None:
    with pytest.raises(Exception, match=r"metadata\.x: metadata holds plain data only"):
        Record.from_state_dict(TENSORS).save(metadata={"x": torch.ones(1)})
