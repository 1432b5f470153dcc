"""A damaged value in a column is told by the path of its entry, whatever it is."""

import json
import struct
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch

from burnish.records import Record, RecordError, RecordFormatError, open_record
from burnish.records.entries.entry import ParamId
from burnish.records.header.columns import check_names, is_shape, is_size

from ..hostile_files import FILES, with_header

PAIRS = ("ties", "memory_format")
DAMAGED: list[tuple[str, object, str]] = [
    ("kind", "parameters", "unknown kind 'parameters'"),
    ("kind", 3, "unknown kind 3"),
    ("id", "not base32 !!", "ID 'not base32 !!'"),
    ("id", 3, "ID 3"),
    ("dtype", "float31", "unknown dtype 'float31'"),
    ("dtype", None, "unknown dtype None"),
    ("shape", [-1], r"shape \[-1\]"),
    ("shape", [2**62], r"shape \[4611686018427387904\]"),
    ("shape", [True], r"shape \[True\]"),
    ("shape", [1.0], r"shape \[1.0\]"),
    ("shape", "22", "shape '22'"),
    ("shape", [1] * 65, r"shape \[1, 1"),
    ("requires_grad", 1, "requires_grad 1"),
    ("requires_grad", None, "requires_grad None"),
    ("offset", -64, "offset -64"),
    ("offset", "64", "offset '64'"),
    ("offset", 2**62, "offset 4611686018427387904"),
]


def file_with(name: str, change: Any) -> bytes:
    """Return an `.mpk` file whose column ``name`` is what ``change`` makes of it."""

    def changed(header: Any) -> Any:
        header["tensors"][name] = change(header["tensors"][name])
        return header

    return with_header(FILES["mpk"](), changed)


def paths() -> list[str]:
    header: Any = msgpack.unpackb(msgpack.unpackb(FILES["mpk"]())["header"])
    found: list[str] = header["tensors"]["path"]
    return found


@pytest.mark.parametrize("row", [0, 1, -1])
@pytest.mark.parametrize(("name", "value", "problem"), DAMAGED)
def test_a_damaged_value_is_told_by_the_path_of_its_row(
    name: str, value: object, problem: str, row: int
) -> None:
    def damage(values: list[Any]) -> list[Any]:
        values[row] = value
        return values

    with pytest.raises(RecordFormatError, match=f"'{paths()[row]}' has the {problem}"):
        open_record(file_with(name, damage))


@pytest.mark.parametrize("value", [3, None, b"x"])
def test_a_path_that_is_no_text_is_told_by_its_number(value: object) -> None:
    with pytest.raises(RecordFormatError, match=r"entry 2 has the name"):
        open_record(file_with("path", lambda p: [*p[:2], value, *p[3:]]))


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("ties", [0]),
        ("ties", [0, ["x"], 1]),
        ("ties", "ab"),
        ("ties", [-1, ["x"]]),
        ("ties", [True, ["x"]]),
        ("ties", [0, []]),
        ("ties", [0, "x"]),
        ("ties", [0, ["x", 3]]),
        ("memory_format", [0, "channels_first"]),
        ("memory_format", [0, None]),
    ],
)
def test_a_damaged_pair_is_refused_as_what_its_column_holds(
    name: str, pair: object
) -> None:
    what = name.replace("_", " ")

    with pytest.raises(RecordFormatError, match=f"has the {what} "):
        open_record(file_with(name, lambda _: [pair]))


@pytest.mark.parametrize("name", ["kind", "id", "dtype", "shape", "requires_grad"])
def test_a_column_with_a_row_less_than_the_others_is_refused(name: str) -> None:
    with pytest.raises(RecordFormatError, match="columns of different lengths"):
        open_record(file_with(name, lambda values: values[:-1]))


@pytest.mark.parametrize("name", ["path", "dtype", "shape", *PAIRS])
def test_a_column_that_is_no_list_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(RecordFormatError, match=f"column {name} of the table"):
        open_record(file_with(name, lambda _: {"a": 1}))


def test_sizes_are_whole_numbers_from_0_to_below_2_to_62() -> None:
    assert is_size(0)
    assert is_size(2**62 - 1)
    assert not any(map(is_size, (-1, 2**62, True, 1.0, "1", None)))


def test_shapes_have_at_most_64_dimensions() -> None:
    assert is_shape([])
    assert is_shape([0, 3])
    assert is_shape([1] * 64)
    assert not any(map(is_shape, ([1] * 65, (1, 2), [1, -1], None, [[1]])))


@pytest.mark.parametrize("shape", [[2**40, 2**40, 0], [0, 2**32, 2**31]])
def test_shapes_without_values_stay_within_what_torch_counts(shape: list[int]) -> None:
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    text = json.dumps(header).encode()
    with pytest.raises(RecordFormatError, match="'a' has the shape"):
        open_record(struct.pack("<Q", len(text)) + text)
    assert not is_shape(shape)
    assert is_shape([0, 2**40, 2**20])


def test_a_shape_that_torch_cannot_count_is_refused_in_a_table_of_shapes() -> None:
    for shape in ([2**40, 2**40, 0], [0, 2**32, 2**31]):
        with pytest.raises(RecordFormatError, match="has the shape"):
            open_record(file_with("shape", lambda s, shape=shape: [*s[:-1], shape]))


@pytest.mark.parametrize("shape", [(0, 2**62), (0, 2**40, 2**40)])
def test_an_empty_tensor_that_no_reader_takes_is_not_saved(
    shape: tuple[int, ...],
) -> None:
    record = Record.from_state_dict({"a": torch.empty(0).as_strided(shape, shape)})
    with pytest.raises(RecordError, match="'a' has the shape"):
        record.save()


def test_a_file_may_have_shapes_of_64_dimensions() -> None:
    record = open_record(file_with("shape", lambda s: [*s[:3], [3] + [1] * 63, s[4]]))

    assert record.entries()[3].shape == (3, *[1] * 63)


@pytest.mark.parametrize("n", [3, 10_003])
def test_of_many_names_two_that_are_equal_are_refused(n: int) -> None:
    table: dict[str, Any] = {
        "path": [f"layers.{i}" for i in range(n)],
        "id": [*ParamId.draw_many(n - 1), None],
        "ties": [],
    }
    check_names(table, "the file")

    twice = [*table["path"][:-1], "layers.1"]
    with pytest.raises(RecordFormatError, match=r"two entries called 'layers\.1'"):
        check_names({**table, "path": twice}, "the file")

    ids = [*table["id"][:-1], table["id"][1]]
    with pytest.raises(RecordFormatError, match=f"two entries with the ID {ids[1]}"):
        check_names({**table, "id": ids}, "the file")
