"""Files of records that are rewritten at the newest version."""

from pathlib import Path

import pytest
import torch

from burnish.core.evolution.record_check import (
    upgrade_file,
)
from burnish.core.evolution.tensor_rules import (
    SplitTensor,
)
from burnish.records import (
    Record,
    RecordError,
    RecordMismatchError,
    open_record,
)

from .versions import FORMATS, RULES, attention_v0, attention_v2, define, nest


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_rewritten_at_the_newest_version(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    old = define(attention_v0)()
    old.save_record(file)
    newer = define(attention_v2, 2, RULES)

    calls: list[tuple[int, int]] = []

    was_older = upgrade_file(
        file, newer, progress=lambda n_done, total, _: calls.append((n_done, total))
    )

    assert was_older
    assert calls[-1][0] == calls[-1][1] > 0
    assert not upgrade_file(file, newer)
    with open_record(file) as record:
        assert record.metadata["burnish"]["version"] == 2
        assert torch.equal(record["head.weight"], old.fc1.weight)
        assert "fc1.weight" not in record
    assert torch.equal(newer.from_record(file).head.weight, old.fc1.weight)


def test_a_file_that_cannot_be_upgraded_stays(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    define(nest({"w": (4, 2)}))().save_record(file)
    before = file.read_bytes()
    rule = SplitTensor("w", ["a", "b", "c"])

    with pytest.raises(RecordError, match="cannot be split"):
        upgrade_file(file, define(nest({"w": (4, 2)}), 1, {0: [rule]}))

    assert file.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1])
def test_a_file_of_another_class_is_not_of_the_newest_version(
    tmp_path: Path, version: int
) -> None:
    file = tmp_path / "net.mpk"
    define(nest({"w": (4, 2), "v": (4,)}))().save_record(file)
    before = file.read_bytes()

    with pytest.raises(
        RecordMismatchError, match=r"net\.mpk: none of its tensors, w, v"
    ):
        upgrade_file(file, define(nest({"a": (4, 2)}), version))

    assert file.read_bytes() == before


def test_a_file_of_a_wrapped_module_is_of_its_class(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    net = define(nest({"w": (4, 2)}))
    state = {f"module.{name}": value for name, value in net().state_dict().items()}
    Record.from_state_dict(state).save(file)

    assert not upgrade_file(file, net)
