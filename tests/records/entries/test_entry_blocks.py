"""Values of every format in pieces: what `Entry.blocks` yields is the tensor."""

from pathlib import Path

import pytest
import torch

from burnish.records import Record, RecordChecksumError, RecordFormatError, open_record

from ...formats_of_records import RECORDERS


def read_all(file: Path) -> None:
    for entry in open_record(file).entries():
        for _ in entry.blocks():
            pass


VALUES = {
    "large": torch.randn(700, 501),
    "half": torch.randn(300_000).half(),
    "bool": torch.rand(7) > 0.5,
    "complex": torch.randn(70_001, dtype=torch.complex64),
    "bytes": torch.arange(0, 200, dtype=torch.uint8),
    "wide": torch.arange(99) * 2**50,
    "scalar": torch.tensor(-0.0),
    "one complex": torch.tensor(2 + 1j),
    "empty": torch.empty(0, 3),
}


@pytest.mark.parametrize("name", RECORDERS)
def test_blocks_of_every_format_are_the_values(name: str) -> None:
    # Burn's files have no complex numbers.
    values = {k: v for k, v in VALUES.items() if not (name == "bpk" and v.is_complex())}
    data = RECORDERS[name].dumps(Record.from_state_dict(values))

    for entry in open_record(data).entries():
        blocks = [block.clone() for block in entry.blocks()]
        flat = torch.cat(blocks) if blocks else torch.empty(0)
        assert not blocks or flat.dtype is entry.dtype
        assert all(block.numel() for block in blocks)
        assert torch.equal(flat.view(entry.shape), values[entry.path])
        assert entry.touched is None


def test_blocks_of_a_torch_file_are_read_from_its_map(tmp_path: Path) -> None:
    torch.save(VALUES, tmp_path / "x.pt")

    with open_record(tmp_path / "x.pt") as record:
        large = {e.path: e for e in record.entries()}["large"]
        assert torch.equal(torch.cat([*large.blocks()]).view(700, 501), VALUES["large"])


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst", ".json", ".safetensors"])
def test_damage_is_told_by_the_end_of_the_blocks(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"x{suffix}"
    Record.from_state_dict({"w": torch.full((3000,), 1234567.0)}).save(file)
    data = bytearray(file.read_bytes())
    if suffix == ".json":
        at = data.index(b"1234567") + 3
        data[at] = ord("9")
    else:
        data[len(data) // 2 if suffix != ".mpk.zst" else 200] ^= 1
    file.write_bytes(data)

    with pytest.raises((RecordChecksumError, RecordFormatError)):
        read_all(file)
