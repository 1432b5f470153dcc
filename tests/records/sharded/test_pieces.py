"""Any rectangle of a tensor is read from the parts that hold it, and no others."""

from pathlib import Path

import pytest
import torch

from burnish import open_record, verify_file
from burnish.cli.main import main
from burnish.records import FlatRecord, RecordChecksumError, RecordFormatError
from burnish.records.entries.entries import path_index
from burnish.records.io.source import Maps
from burnish.records.sharded.layout import Layout, Rectangle
from burnish.records.sharded.pieces import PiecewisePayload, rows_of

from .folders import parts_of, write_folder

LAYOUTS = [
    Layout((3,), (0, 1, 2), ((0, 0),)),
    Layout((3,), (0, 1, 2), ((0, 1),)),
    Layout((2, 2), (0, 1, 2, 3), ((0, 0), (1, 1))),
    Layout((2, 2), (0, 1, 2, 3), ((1, 0), (0, 0))),
    Layout((2,), (0, 1), ()),
]


def tensors() -> dict[str, torch.Tensor]:
    return {
        "a": torch.arange(35.0).reshape(7, 5),
        "b": torch.arange(24, dtype=torch.int16).reshape(4, 6, 1),
        "empty": torch.empty(0, 3),
    }


def payload_of(record: FlatRecord, path: str) -> PiecewisePayload:
    source = path_index(record)[path].source
    assert isinstance(source, PiecewisePayload)
    return source


def with_flipped_bit(folder: Path, part: int) -> None:
    file = folder / parts_of(folder)[part]
    data = bytearray(file.read_bytes())
    data[-60] ^= 64
    file.write_bytes(data)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tensor_is_put_together_of_its_pieces(tmp_path: Path, layout: Layout) -> None:
    write_folder(tmp_path, tensors(), layout)

    record = open_record(tmp_path)

    for name, tensor in tensors().items():
        assert torch.equal(record[name], tensor)
        blocks = [block.clone() for block in path_index(record)[name].blocks()]
        assert torch.equal(torch.cat([torch.empty(0), *blocks]), tensor.reshape(-1))
    assert verify_file(tmp_path).verified == "all"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("band", [4, 24, 1 << 20])
@pytest.mark.parametrize("piece", [4, 12, 1 << 20])
def test_blocks_are_rows_whatever_is_read_at_once(
    piece: int,
    band: int,
    layout: Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_folder(tmp_path / "net", tensors(), layout)
    monkeypatch.setattr("burnish.records.io.lazy_payload.PIECE", piece)
    monkeypatch.setattr("burnish.records.sharded.pieces._BAND", band)
    record = open_record(tmp_path / "net")

    for name, tensor in tensors().items():
        blocks = [b.clone() for b in path_index(record)[name].blocks()]
        values = torch.cat(blocks) if blocks else torch.empty(0)
        assert torch.equal(values.view(tensor.shape), tensor), name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_rectangle_is_what_it_is_of_the_whole(tmp_path: Path, layout: Layout) -> None:
    write_folder(tmp_path, tensors(), layout)
    payload = payload_of(open_record(tmp_path), "a")

    for rectangle in (
        Rectangle((0, 0), (7, 5)),
        Rectangle((2, 1), (4, 3)),
        Rectangle((6, 4), (1, 1)),
        Rectangle((3, 0), (0, 5)),
    ):
        values = payload.rectangle(rectangle, Maps())
        assert torch.equal(values, rows_of(tensors()["a"], rectangle))


def test_what_is_not_asked_for_may_be_missing(tmp_path: Path) -> None:
    write_folder(tmp_path, tensors(), LAYOUTS[0])
    (tmp_path / parts_of(tmp_path)[2]).unlink()
    record = open_record(tmp_path)

    first_rows = payload_of(record, "a").rectangle(Rectangle((0, 0), (3, 5)))

    assert torch.equal(first_rows, tensors()["a"][:3])
    with pytest.raises(RecordFormatError, match="which is not beside it"):
        _ = record["a"]


def test_a_damaged_piece_is_noticed_by_whoever_reads_it(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": tensors()["a"]}, LAYOUTS[0])
    with_flipped_bit(tmp_path, 1)
    record = open_record(tmp_path)

    payload_of(record, "a").rectangle(Rectangle((0, 0), (3, 5)))

    with pytest.raises(RecordChecksumError, match="part-00001-of-00003"):
        _ = record["a"]
    with pytest.raises(RecordChecksumError, match="part-00001-of-00003"):
        verify_file(tmp_path)


def test_two_reads_give_memory_of_their_own(tmp_path: Path) -> None:
    write_folder(tmp_path, tensors(), LAYOUTS[4])
    entry = path_index(open_record(tmp_path))["a"]

    first, second = entry.read(), entry.read()
    first.zero_()

    assert torch.equal(second, tensors()["a"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_converted_to_a_file_a_few_rows_at_a_time(
    tmp_path: Path, layout: Layout
) -> None:
    large = torch.arange(3 << 20, dtype=torch.int32).reshape(1 << 10, 3 << 10)
    write_folder(tmp_path / "net", {**tensors(), "large": large}, layout)

    assert main(["convert", f"{tmp_path}/net", f"{tmp_path}/net.mpk"]) == 0

    record = open_record(tmp_path / "net.mpk")
    assert all(torch.equal(record[name], t) for name, t in tensors().items())
    assert torch.equal(record["large"], large)
    assert main(["diff", f"{tmp_path}/net", f"{tmp_path}/net.mpk"]) == 0
    assert main(["verify", f"{tmp_path}/net"]) == 0
    assert main(["show", f"{tmp_path}/net"]) == 0
