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
from burnish.records.io.lazy_payload import LazyPayload, MappedPayloads
from burnish.records.io.source import Maps, MemorySource
from burnish.records.tensors.flat_pieces import PIECE

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

    with pytest.raises(
        ValueError, match="is closed; read what you need before you close it"
    ):
        _ = record["steps"]


@pytest.mark.parametrize("ending", ["mpk", "json", "safetensors"])
def test_what_is_read_from_a_closed_stream_is_no_damage(
    ending: str, tmp_path: Path
) -> None:
    file = tmp_path / f"m.{ending}"
    Record.from_state_dict(TENSORS).save(file)
    with file.open("rb") as stream:
        record = open_record(stream)

    with pytest.raises(
        ValueError, match="was closed; read what you need before you close it"
    ):
        _ = record["steps"]


def test_parts_are_put_together_without_reading_one_whole() -> None:
    class Spy(MemorySource):
        largest = 0

        def read(self, offset: int, count: int) -> memoryview:
            self.largest = max(self.largest, count)
            return super().read(offset, count)

    values = torch.arange(3 << 18, dtype=torch.int32)
    source = Spy(values.numpy().tobytes())
    first, last = 5 << 18, 7 << 18
    payload = LazyPayload(
        source, "w", torch.int32, (3 << 18,), ((0, first), (first, last)), None
    )

    assert torch.equal(payload.load(), values)
    assert source.largest <= PIECE


def test_payloads_of_a_map_are_compared_in_any_order_each_with_its_own_sum(
    tmp_path: Path,
) -> None:
    file = tmp_path / "net.mpk"
    tensors = {f"w{i}": torch.full((i % 3, 2), float(i)) for i in range(8)}
    Record.from_state_dict({**tensors, "is_set": torch.tensor([True])}).save(file)
    content = bytearray(file.read_bytes())
    content[content.find(tensors["w5"].numpy().tobytes())] ^= 1
    file.write_bytes(content)
    entries = {e.path: e for e in open_record(file).flat().entries()}
    maps = Maps()
    payloads = MappedPayloads(maps)

    def load(path: str) -> torch.Tensor:
        source = entries[path].source
        assert isinstance(source, LazyPayload)
        return payloads.load(source)

    for path in ("w7", "w1", "w3", "w4", "w0", "w2", "w7", "w6"):
        assert torch.equal(load(path), tensors[path])
    assert load("is_set").item() is True
    with pytest.raises(RecordChecksumError, match="w5"):
        load("w5")
