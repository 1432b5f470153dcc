"""Rows of a stored tensor, read and verified without the rest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.records import Record, RecordChecksumError, Recorder, RecordFormatError

MIB = 1 << 20
SHAPE = (6, 500, 700)


@pytest.fixture(scope="module")
def values() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(SHAPE)


@pytest.fixture(scope="module")
def data(values: torch.Tensor) -> bytes:
    tensors = {"before": torch.ones(9), "a": values, "after": torch.ones(9)}
    return Recorder(block_sums=MIB).dumps(Record.from_state_dict(tensors))


def entry_of(source: Any, path: str = "a", **options: Any) -> Any:
    return burnish.open_record(source, **options).entry_at(path)


def cut(tensor: torch.Tensor, offsets: Sequence[int], sizes: Sequence[int]) -> Any:
    for dim, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
        tensor = tensor.narrow(dim, offset, size)
    return tensor


@pytest.mark.parametrize(
    ("offsets", "sizes"),
    [
        ((0, 0, 0), SHAPE),
        ((2, 0, 0), (3, 500, 700)),
        ((5, 499, 699), (1, 1, 1)),
        ((0, 100, 0), (6, 50, 700)),
        ((1, 3, 5), (4, 490, 600)),
        ((0, 0, 0), (0, 500, 700)),
        ((3, 7, 2), (2, 0, 1)),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_any_rectangle_is_that_of_the_tensor(
    data: bytes,
    values: torch.Tensor,
    offsets: tuple[int, ...],
    sizes: tuple[int, ...],
    verify: bool,
    tmp_path: Path,
) -> None:
    (tmp_path / "a.mpk").write_bytes(data)

    for source in (data, tmp_path / "a.mpk"):
        rectangle = entry_of(source, verify=verify).source.rectangle((offsets, sizes))

        assert torch.equal(rectangle, cut(values, offsets, sizes))


def test_damage_is_found_in_the_blocks_that_are_read_and_there_alone(
    data: bytes, values: torch.Tensor
) -> None:
    damaged = bytearray(data)
    damaged[data.index(values.numpy().tobytes()) + 3 * MIB + 9] ^= 1
    entry = entry_of(bytes(damaged))

    assert torch.equal(entry.rows(0, 2), values[:2])
    assert torch.equal(entry.rows(5, 6), values[5:])
    with pytest.raises(RecordChecksumError, match="a"):
        entry.rows(2, 3)
    with pytest.raises(RecordChecksumError, match="a"):
        entry.tensor()


def test_rows_of_a_file_without_such_sums_are_verified_with_the_whole(
    values: torch.Tensor,
) -> None:
    data = bytearray(Record.from_state_dict({"a": values}).save())
    assert torch.equal(entry_of(bytes(data)).rows(1, 3), values[1:3])
    data[data.index(values.numpy().tobytes()) + 5 * MIB] ^= 1

    with pytest.raises(RecordChecksumError, match="a"):
        entry_of(bytes(data)).rows(0, 1)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 7)])
def test_rows_that_are_not_there_are_an_error_with_the_shape(
    data: bytes, start: int, stop: int
) -> None:
    with pytest.raises(
        IndexError, match=rf"a: no rows {start} to {stop} .*\(6, 500, 700"
    ):
        entry_of(data).rows(start, stop)


def test_rows_are_memory_of_their_own(data: bytes, values: torch.Tensor) -> None:
    rows = entry_of(data).rows(1, 2)
    rows.zero_()

    assert torch.equal(entry_of(data).rows(1, 2), values[1:2])


def test_booleans_that_are_none_are_refused() -> None:
    flags = torch.zeros(3 * MIB, dtype=torch.bool)
    data = bytearray(
        Recorder(block_sums=MIB).dumps(Record.from_state_dict({"a": flags}))
    )
    data[data.index(bytes(3 * MIB)) + 7] = 2

    with pytest.raises(RecordFormatError, match="not a boolean"):
        entry_of(bytes(data), verify=False).rows(0, 10)


def test_rows_of_an_object_fetch_their_blocks_alone(
    data: bytes, values: torch.Tensor
) -> None:
    pytest.importorskip("fsspec")
    from ..object_storage import CountingStorage

    url = CountingStorage.put("rows.mpk", data)
    entry = entry_of(url)
    CountingStorage.forget()

    rows = entry.rows(3, 4)

    assert torch.equal(rows, values[3:4])
    assert len(CountingStorage.fetched) == 1
    assert CountingStorage.n_fetched() <= 3 * MIB
    CountingStorage.put("rows.mpk", data[:-900_000] + bytes(900_000))
    with pytest.raises(RecordFormatError, match="it was replaced"):
        entry.rows(5, 6)
