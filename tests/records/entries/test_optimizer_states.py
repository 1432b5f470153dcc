"""State dicts of optimizers are found in the data around them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import RecordFormatError, open_record
from burnish.records.entries.optimizer_states import optimizers_in, subscripts


def test_state_dicts_in_dicts_and_lists_are_found_with_their_keys() -> None:
    state_dict = _state_dict()
    content = {"epoch": 3, "gan": {"g": state_dict, "d": state_dict}, "3": [state_dict]}

    found = [(subscripts(keys), item) for keys, item in optimizers_in(content)]

    assert [path for path, _ in found] == ["['gan']['g']", "['gan']['d']", "['3'][0]"]
    assert all(item is state_dict for _, item in found)


def test_the_state_in_a_list_of_optimizers_is_told_apart_from_weights(
    tmp_path: Path,
) -> None:
    torch.save({"optimizer_states": [_state_dict()]}, tmp_path / "last.ckpt")

    with pytest.raises(RecordFormatError, match=r"\['optimizer_states'\]\[0\]\)"):
        open_record(tmp_path / "last.ckpt")


def _state_dict() -> dict[str, Any]:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(2))]).state_dict()
