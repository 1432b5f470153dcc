"""torch's file is mapped, and may be written over."""

from pathlib import Path

import pytest
import torch
from torch import nn

import burnish
from burnish.records import RecordFormatError, open_record

from .torch_files import packed


def test_the_file_is_mapped_where_it_may_be(tmp_path: Path) -> None:
    file = tmp_path / "m.pt"
    file.write_bytes(packed({"w": torch.ones(1 << 16)}))

    record = open_record(file)
    file.unlink()

    record["w"].add_(1)
    assert record["w"].sum() == 2 << 16


@pytest.mark.parametrize("n", [3, 1 << 19])
def test_a_state_dict_of_torchs_file_is_saved_over_that_file(
    n: int, tmp_path: Path
) -> None:
    file = tmp_path / "m.pt"
    values = torch.arange(float(n))
    torch.save({"w": values, "v": values[:2].clone()}, file)

    record = open_record(file)
    tensors = {**record.to_state_dict(), "v": record["v"] + 1, **dict(record.items())}
    torch.save(tensors, file)

    assert torch.equal(torch.load(file)["w"], values)
    assert torch.equal(tensors["w"], values)


def test_a_file_of_torch_that_was_written_over_is_said_to_be(tmp_path: Path) -> None:
    file = tmp_path / "m.pt"
    torch.save({"weight": torch.ones(3, 1 << 12), "bias": torch.ones(3)}, file)
    record, module = open_record(file), nn.Linear(1 << 12, 3)

    torch.save({"w": torch.ones(3)}, file)

    with pytest.raises(RecordFormatError, match=r"m\.pt: .*overwritten after it was"):
        _ = record["weight"]
    with pytest.raises(RecordFormatError, match=r"Open it again"):
        burnish.load_record(module, record)


def test_what_was_taken_from_torchs_file_is_what_a_later_load_takes(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.pt"
    torch.save(nn.Linear(2, 2).state_dict(), file)
    record, module = open_record(file), nn.Linear(2, 2)

    record["weight"].fill_(3.0)
    burnish.load_record(module, record)
    built = burnish.from_record(lambda: nn.Linear(2, 2), record)

    assert module.weight.detach().eq(3.0).all()
    assert built.weight.detach().eq(3.0).all()
    assert built.weight.data_ptr() != record["weight"].data_ptr()
