"""An index that is damaged, or made to harm, is refused before anything is read."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import FlatRecord, RecordFormatError
from burnish.records.entries.entry import Entry, ParamId
from burnish.records.record_writer import RecordWriter
from burnish.records.sharded.folder import RecordFolder
from burnish.records.sharded.layout import Chunk, Layout, Rectangle
from burnish.records.sharded.save_plan import SavePlan
from burnish.records.sharded.saving import write_index
from burnish.records.sharded.shard_index import (
    INDEX,
    PartFile,
    ShardIndex,
    check_places,
    is_cover,
    part_name,
    save_id_of,
    take_index,
)

PARTS = [PartFile(part_name(i, 2, "0123abcd"), 500, bytes(16)) for i in range(2)]


def index() -> ShardIndex:
    result = ShardIndex([*PARTS])
    result.numbers = [0, result.number_of(Layout((2,), (0, 1), ((0, 0),))), 1]
    result.chunks = {
        2: [
            Chunk(0, Rectangle((0, 0), (2, 1))),
            Chunk(1, Rectangle((0, 1), (2, 1)), 3),
        ]
    }
    return result


SHAPES = [[3], [4, 2], [2, 2]]


def header_of(index: ShardIndex) -> dict[str, Any]:
    header: dict[str, Any] = {"tensors": {}}
    index.add_to(header)
    return header


def checked(header: dict[str, Any]) -> ShardIndex:
    result = take_index(header, "index.mpk")
    check_places(result, header["tensors"]["layout"], SHAPES, "index.mpk")
    return result


def test_what_is_said_comes_back() -> None:
    header = header_of(index())

    assert checked(header) == index()
    assert header.keys() == {"tensors"}


def test_an_index_grows_by_tensors_and_files_and_not_by_their_product(
    tmp_path: Path,
) -> None:
    empty = index_size(tmp_path, n_tensors=0, n_parts=0)

    for n_tensors, n_parts in ((0, 256), (500, 1), (500, 256)):
        size = index_size(tmp_path, n_tensors, n_parts) - empty
        assert size <= 100 * n_tensors + 80 * n_parts


def index_size(folder: Path, n_tensors: int, n_parts: int) -> int:
    """Return how long the index of tensors is that all parts have rows of."""
    index = ShardIndex(
        [
            PartFile(part_name(i, n_parts, "f" * 8), 1 << 40, b"\xff" * 16)
            for i in range(n_parts)
        ]
    )
    layout = Layout((n_parts,), tuple(range(n_parts)), ((0, 0),))
    index.numbers = [index.number_of(layout) for _ in range(n_tensors)]
    rows = torch.empty(1 << 20, 1 << 20, device="meta")
    entries = [
        Entry(
            f"model.layers.{i}.self_attn.q_proj.weight",
            "parameter",
            rows.dtype,
            tuple(rows.shape),
            rows,
            id=ParamId.draw(),
        )
        for i in range(n_tensors)
    ]
    record = RecordWriter().prepare(FlatRecord.from_entries(entries))
    write_index(record, SavePlan(index), RecordFolder(folder))
    return (folder / INDEX).stat().st_size


def test_names_of_parts_say_their_save() -> None:
    assert PARTS[1].name == "part-00001-of-00002.0123abcd.mpk"
    assert save_id_of(PARTS[0].name) == "0123abcd"
    assert save_id_of("part-1.mpk") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("parts", None),
        ("parts", [["../net.mpk", 5, bytes(16)]] * 2),
        ("parts", [[PARTS[0].name, -5, bytes(16)]] * 2),
        ("parts", [[PARTS[0].name, 5, bytes(8)]] * 2),
        ("parts", [[PARTS[0].name, 5, bytes(16)]] * 2),
        ("parts", [[PARTS[0].name, 5, bytes(16)]]),
        ("parts", []),
        ("layouts", 5),
        ("layouts", [[[2], [0, 1], [[0, 5]]]]),
        ("layouts", [[[2], [0, 1], [[1, 0]]]]),
        ("layouts", [[[2], [0, 1], [[0, 0], [0, 1]]]]),
        ("layouts", [[[2], [0, 0], []]]),
        ("layouts", [[[2], [0, 9], []]]),
        ("layouts", [[[0], [], []]]),
        ("layouts", [[[2], [0, 1]]]),
        ("layouts", []),
        ("chunks", []),
        ("chunks", [[2, []]]),
        ("chunks", [[2, [[0, 0, [0, 0], [2, 2]]]], [2, [[0, 0, [0, 0], [2, 2]]]]]),
        ("chunks", [[2, [[9, 0, [0, 0], [2, 2]]]]]),
        ("chunks", [[2, [[0, 0, [0, 0], [2, 2, 1]]]]]),
        ("chunks", [[2, [[0, 0, [0, 0], [2, 1]]]]]),
        ("chunks", [[2, [[0, 0, [0, 0], [2, 1]], [1, 0, [0, 0], [2, 1]]]]]),
        ("chunks", [[2, [[0, 0, [0, 0], [4, 1]]]]]),
        ("chunks", [[1, [[0, 0, [0, 0], [4, 2]]]], [2, [[0, 0, [0, 0], [2, 2]]]]]),
    ],
)
def test_a_damaged_index_is_refused(key: str, value: Any) -> None:
    header = header_of(index())
    header[key] = value

    with pytest.raises(RecordFormatError):
        checked(header)


@pytest.mark.parametrize("numbers", [[0, 2], [0, 3, 1], [0, 1, 1], [2, 2, 0]])
def test_layouts_that_are_not_there_are_refused(numbers: list[int]) -> None:
    header = header_of(index())
    header["tensors"]["layout"] = numbers

    with pytest.raises(RecordFormatError):
        checked(header)


def test_rectangles_cover_a_tensor_if_each_value_is_in_one() -> None:
    halves = [Chunk(0, Rectangle((0,), (2,))), Chunk(1, Rectangle((2,), (1,)))]

    assert is_cover(halves, (3,))
    assert is_cover([], (0, 4))
    assert is_cover([Chunk(0, Rectangle((), ()))], ())
    assert not is_cover(halves, (4,))
    assert not is_cover([*halves, halves[1]], (4,))
    assert not is_cover([], ())


def test_whether_rectangles_cover_a_tensor_is_what_counting_says() -> None:
    draws = random.Random(0)
    n_covers = 0
    for _ in range(2_000):
        shape = draws.randint(1, 3), draws.randint(1, 3)
        counts = torch.zeros(shape)
        chunks: list[Chunk] = []
        for part in range(draws.randint(1, 4)):
            offsets = [draws.randrange(size) for size in shape]
            ends = [
                draws.randint(o + 1, n) for o, n in zip(offsets, shape, strict=True)
            ]
            rows, columns = map(slice, offsets, ends)
            counts[rows, columns] += 1
            sizes = tuple(e - o for o, e in zip(offsets, ends, strict=True))
            chunks.append(Chunk(part, Rectangle(tuple(offsets), sizes)))

        is_exact = bool((counts == 1).all())
        assert is_cover(chunks, shape) == is_exact
        n_covers += is_exact

    assert n_covers > 100


def test_thousands_of_rectangles_are_checked_together() -> None:
    tiles = [
        Chunk(0, Rectangle((i, j), (1, 100)))
        for i in range(2000)
        for j in range(0, 1000, 100)
    ]

    assert is_cover(tiles, (2000, 1000))
    assert not is_cover([*tiles[1:], tiles[1]], (2000, 1000))
