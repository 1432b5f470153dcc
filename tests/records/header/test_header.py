"""The plain data of a header: how deep it nests, and what it may refer to."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from burnish.config.tree import MAX_DEPTH
from burnish.records import RecordError, RecordFormatError, open_record
from burnish.records.entries.entry import Entry
from burnish.records.flat_record import FlatRecord
from burnish.records.header.header import check_tree, record_of_header
from burnish.records.recorder import Recorder

from ..hostile_files import FILES, entry, small, with_header

Node = Any

AROUND: dict[str, Callable[[Node], Node]] = {
    "list": lambda node: [node],
    "map": lambda node: {"a": node},
    "record": lambda node: {"$record": ["R", {"a": node}]},
    "tuple": lambda node: {"$tuple": [node]},
    "dict": lambda node: {"$dict": [["$a", node]]},
}


def replaced(key: str, value: object, header: dict[str, Any]) -> dict[str, Any]:
    return {**header, key: value}


def nested(kind: str, depth: int) -> Node:
    node: Node = {"$tensor": 0}
    for _ in range(depth):
        node = AROUND[kind](node)
    return node


def typed_file(tree: Node) -> bytes:
    """Return an `.mpk` file of `small` that says it is a typed record of ``tree``."""
    return with_header(FILES["mpk"](), lambda h: {**h, "kind": "record", "tree": tree})


@pytest.mark.parametrize("kind", AROUND)
def test_plain_data_nests_to_the_limit_and_no_deeper(kind: str) -> None:
    check_tree({"a": nested(kind, MAX_DEPTH)}, 1, is_typed=False)
    with pytest.raises(ValueError, match=f"nested deeper than {MAX_DEPTH} levels"):
        check_tree({"a": nested(kind, MAX_DEPTH + 1)}, 1, is_typed=False)


def test_the_fields_of_a_typed_record_nest_to_the_limit_and_no_deeper() -> None:
    check_tree(nested("record", MAX_DEPTH), 1, is_typed=True)
    with pytest.raises(ValueError, match="nested deeper"):
        check_tree(nested("record", MAX_DEPTH + 1), 1, is_typed=True)


@pytest.mark.parametrize("kind", AROUND)
def test_a_reference_to_an_entry_that_is_not_there_is_refused_wherever_it_stands(
    kind: str,
) -> None:
    node = AROUND[kind]({"$tensor": 5})
    record = FlatRecord.of(small().entries(), tree={"a": node}, type_name="Net")

    for tree in ({"a": node}, {"a": [1, "x", node]}):
        data = with_header(FILES["mpk"](), partial(replaced, "tree", tree))
        with pytest.raises(RecordFormatError, match="entry 5 of 5"):
            open_record(data)
    with pytest.raises(RecordError, match=r"cannot be stored: entry 5 of 5"):
        Recorder().dumps(record)


@pytest.mark.parametrize("tree", [{"a": 1}, {"$tuple": []}, {"$tensor": 0}])
def test_a_typed_record_that_begins_with_something_else_is_refused(tree: Node) -> None:
    with pytest.raises(RecordFormatError, match="does not begin with one"):
        open_record(typed_file(tree))


@pytest.mark.parametrize("tree", [[1], "x", 3, False])
def test_extra_state_of_a_module_that_is_no_map_is_refused(tree: Node) -> None:
    data = with_header(FILES["mpk"](), lambda h: {**h, "tree": tree})

    with pytest.raises(RecordFormatError, match="not a map of paths"):
        open_record(data)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("kind", "modules", "unknown kind"),
        ("kind", 3, "unknown kind"),
        ("type", 3, "unknown kind"),
        ("type", None, "unknown kind"),
        ("tensors", [], "wrong columns|damaged|map"),
        ("metadata", [], "metadata that is not a map"),
        ("metadata", {"a": {"$tensor": 0}}, r"metadata holds \$tensor 0"),
        ("metadata", {"a": {"$x": 0}}, "unknown tag"),
    ],
)
def test_a_header_with_a_wrong_value_is_refused_in_words(
    key: str, value: object, problem: str
) -> None:
    data = with_header(FILES["mpk"](), lambda h: {**h, key: value})

    with pytest.raises(RecordFormatError, match=problem):
        open_record(data)


@pytest.mark.parametrize(
    "name", ["path", "kind", "id", "dtype", "shape", "requires_grad", "ties", "offset"]
)
def test_a_table_without_one_of_its_columns_is_refused(name: str) -> None:
    def without(header: Any) -> Any:
        del header["tensors"][name]
        return header

    with pytest.raises(RecordFormatError, match="wrong columns"):
        open_record(with_header(FILES["mpk"](), without))


def in_channels(shape: tuple[int, ...], name: str) -> bytes:
    """Return a file that says its one tensor lies in the memory format ``name``."""
    record = FlatRecord.of([entry("w", "buffer", torch.ones(shape))], type_name="N")

    def change(header: Any) -> Any:
        header["tensors"]["memory_format"] = [[0, name]]
        return header

    return with_header(Recorder().dumps(record), change)


def test_a_memory_format_needs_the_dimensions_that_it_orders() -> None:
    for name, shape in (
        ("channels_last", (1, 2, 2, 2)),
        ("channels_last_3d", (1, 2, 2, 2, 2)),
    ):
        assert open_record(in_channels(shape, name)).entries()[0].shape == shape
        for other in (shape[1:], (*shape, 2)):
            with pytest.raises(RecordFormatError, match=r"memory format .* of 'w'"):
                open_record(in_channels(other, name))


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        ("ties", [[0, ["x"]], [0, ["y"]]]),
        ("ties", [[5, ["x"]]]),
        ("memory_format", [[0, "channels_last"], [0, "channels_last"]]),
        ("memory_format", [[5, "channels_last"]]),
    ],
)
def test_a_row_that_is_said_twice_or_is_not_there_is_refused(
    column: str, rows: list[Any]
) -> None:
    image = torch.ones(1, 2, 2, 2)
    entries = [entry(str(i), "buffer", image + i) for i in range(5)]

    def change(header: Any) -> Any:
        header["tensors"][column] = rows
        return header

    data = with_header(Recorder().dumps(FlatRecord.of(entries, type_name="N")), change)

    with pytest.raises(RecordFormatError, match=f"damaged row in the column {column}"):
        open_record(data)


def test_a_tensor_in_metadata_is_refused_with_its_path() -> None:
    with pytest.raises(RecordError, match=r"metadata\.w: .*plain data only"):
        Recorder().dumps(small(), metadata={"w": torch.ones(1)})


def test_an_entry_of_a_dtype_that_no_file_has_is_refused_by_its_path() -> None:
    known = entry("fine", "buffer", torch.ones(1))
    # Of torch's own quantization, which is not a dtype of any format.
    odd = Entry("q", "buffer", torch.qint8, (1,), torch.ones(1), None, False)

    with pytest.raises(RecordError, match=r"q: .*qint8 cannot be stored"):
        Recorder().dumps(FlatRecord.of([known, odd], type_name="N"))


def test_an_entry_without_a_source_says_so_when_it_is_read() -> None:
    table = {
        "path": ["w"], "kind": ["buffer"], "id": [None], "dtype": ["float32"],
        "shape": [[1]], "requires_grad": [False], "ties": [], "memory_format": [],
    }  # fmt: skip
    header = {
        "kind": "module", "type": "N", "metadata": {}, "tree": None, "tensors": table,
    }  # fmt: skip

    record = record_of_header(header, "f")

    with pytest.raises(RuntimeError, match="before its format gave it a source"):
        record.load_all()
