"""Payloads read when asked for: verified, private, and gone when closed."""

from pathlib import Path

import pytest
import torch

from burnish.records import (
    Record,
    RecordChecksumError,
    open_record,
    verify_file,
)

from ...formats_of_records import SUFFIXES
from ..opened import TENSORS


@pytest.mark.parametrize("mmap", [True, False, None])
def test_a_loaded_tensor_may_be_changed_and_the_file_never_is(
    mmap: bool | None, tmp_path: Path
) -> None:
    file = tmp_path / "big.mpk"
    Record.from_state_dict({"w": torch.zeros(1 << 19)}).save(file)
    before = file.read_bytes()

    tensor = open_record(file, mmap=mmap)["w"]
    tensor.fill_(1)

    assert file.read_bytes() == before
    assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_bytes_that_were_given_never_change() -> None:
    data = Record.from_state_dict({"w": torch.zeros(3)}).save()
    before = bytes(data)

    open_record(data)["w"].fill_(1)

    assert data == before


def test_a_flipped_bit_is_caught_and_can_be_waived(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.find(TENSORS["head.weight"].numpy().tobytes())] ^= 4
    file.write_bytes(content)

    with pytest.raises(
        RecordChecksumError, match=r"model\.mpk: the bytes of head\.weight"
    ):
        _ = open_record(file)["head.weight"]
    with pytest.raises(RecordChecksumError, match=r"head\.weight"):
        verify_file(file)
    assert open_record(file, verify=False)["head.weight"].shape == (2, 2)
    assert torch.equal(open_record(file)["steps"], TENSORS["steps"])


@pytest.mark.parametrize("ending", SUFFIXES)
def test_what_is_read_after_closing_is_no_damage(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"m.{ending}"
    Record.from_state_dict(TENSORS).save(file)
    record = open_record(file)
    record.close()

    with pytest.raises(ValueError, match="is closed; read what you need before that"):
        _ = record["steps"]


@pytest.mark.parametrize("ending", ["mpk", "json", "safetensors"])
def test_what_is_read_from_a_closed_stream_is_no_damage(
    ending: str, tmp_path: Path
) -> None:
    file = tmp_path / f"m.{ending}"
    Record.from_state_dict(TENSORS).save(file)
    with file.open("rb") as stream:
        record = open_record(stream)

    with pytest.raises(ValueError, match="was closed; read what you need before that"):
        _ = record["steps"]
