import pytest
import torch

from burnish.records.entries.entry import Entry
from burnish.records.inspection.tree import Leaf, Node, leaves_of, tree_of


def entry(path: str, *shape: int, ties: tuple[str, ...] = ()) -> Entry:
    return Entry(path, "tensor", torch.float32, shape, torch.empty(shape), ties=ties)


def names(node: Node) -> list[str]:
    return [child.name for child in node.children]


def test_blocks_that_repeat_are_one_node_of_the_first() -> None:
    entries = [entry(f"h.{i}.{n}.w", 2, 3) for i in range(12) for n in "ab"]

    tree = tree_of(leaves_of(entries))

    (block,) = tree.children
    assert (block.name, block.n_alike) == ("h.{0...11}", 12)
    assert names(block) == ["a.w", "b.w"]
    assert sum(leaf.n_values * n for leaf, n in tree.leaves) == 12 * 2 * 6


def test_blocks_are_alike_in_any_order_of_their_names() -> None:
    # As in a folder of shards, of which one ends within a block.
    entries = [entry(f"h.{i}.{n}", 2) for i in range(4) for n in ("ab", "ba")[i % 2]]

    (block,) = tree_of(leaves_of(entries)).children

    assert (block.name, block.n_alike) == ("h.{0...3}", 4)


def test_a_block_of_another_shape_stands_alone() -> None:
    entries = [entry(f"h.{i}.w", 3 if i != 2 else 4) for i in range(5)]

    tree = tree_of(leaves_of(entries))

    assert names(tree.children[0]) == ["{0...1}.w", "2.w", "{3...4}.w"]


def test_numbers_are_in_their_order_however_the_file_sorts_them() -> None:
    entries = [entry(f"h.{i}.w", i + 1) for i in (0, 1, 10, 11, 2)]

    tree = tree_of(leaves_of(entries))

    assert names(tree.children[0]) == ["0.w", "1.w", "2.w", "10.w", "11.w"]


def test_a_hole_in_the_numbers_ends_a_block() -> None:
    tree = tree_of(leaves_of([entry(f"h.{i}.w", 3) for i in (0, 1, 5)]))

    assert names(tree.children[0]) == ["{0...1}.w", "5.w"]


def test_without_collapsing_every_block_is_there() -> None:
    tree = tree_of(
        leaves_of([entry(f"h.{i}.w", 3) for i in range(3)]), is_collapsed=False
    )

    assert names(tree.children[0]) == ["0.w", "1.w", "2.w"]


def test_a_tied_tensor_stands_at_each_path_and_is_counted_once() -> None:
    leaves = [*leaves_of([entry("wte.weight", 5, ties=("head.weight",))])]

    assert [leaf.tied_to for leaf in leaves] == [None, "wte.weight"]
    assert sum(leaf.n_values for leaf in leaves) == 5


def test_a_list_of_plain_data_is_one_leaf() -> None:
    tree = tree_of([Leaf("a.b.0", value=1), Leaf("a.b.1", value="x"), Leaf("a.c.0")])

    assert tree.children[0].children[0].leaf == Leaf("a.b", value=[1, "x"])


def test_names_with_empty_parts_keep_every_dot() -> None:
    paths = ["dots..x", ".lead", "trail.", "..", "", "{0...2}.w"]

    for path in paths:
        (node,) = tree_of(leaves_of([entry(path, 2)])).children
        assert node.name == path
    tree = tree_of(leaves_of([entry(path, 2) for path in paths]))
    assert {leaf.path for leaf, _ in tree.leaves} == {*paths}


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        (("08", "09", "10"), ["{08...10}"]),
        (("00", "1"), ["00", "1"]),
        (("0", "01", "1"), ["0", "01", "1"]),
        (("2", "٣"), ["2", "٣"]),
    ],
)
def test_a_block_has_numbers_as_one_would_count_on(
    numbers: tuple[str, ...], shown: list[str]
) -> None:
    tree = tree_of(leaves_of([entry(n, 3) for n in numbers]))

    assert names(tree) == shown


def test_names_of_thousands_of_parts_are_no_deep_tree() -> None:
    tree = tree_of(leaves_of([entry("a." * 3000 + "w", 2), entry("b", 1)]))

    assert sum(1 for _ in tree.leaves) == 2


def test_blocks_of_thousands_of_names_are_told_apart() -> None:
    def shapes_of(block: int) -> list[int]:
        return [1 + (block == 2 and i == 7) for i in range(2500)]

    entries = [
        Entry(f"{block}.{i}.w", "parameter", torch.float32, (n,), torch.ones(n))
        for block in range(4)
        for i, n in enumerate(shapes_of(block))
    ]

    root = tree_of(leaves_of(entries))

    numbers = [node.name.split(".{")[0] for node in root.children]
    assert numbers == ["{0...1}", "2", "3"]
