"""Equal parts are constructed once: what comes of them is what a run of each makes."""

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import ConstructionError, SettingError
from burnish.core.blueprint.tree.construction_node import ConstructionNode

N_BLOCKS = 5


class Block(nn.Module):
    """Counts its constructions; holds a layer at two paths and one that is nowhere."""

    n_constructed: ClassVar[int] = 0

    def __init__(
        self,
        width: int = 4,
        act: type[nn.Module] = nn.ReLU,
        sizes: Any = (),
        kinds: Any = (),
        flag: Any = 1,
    ) -> None:
        super().__init__()
        Block.n_constructed += 1
        if width < 0:
            raise ValueError("width is negative")
        self.layers = nn.Sequential(nn.Linear(width, width), act())
        self.first = self.layers[0]
        self.out = nn.Linear(nn.Linear(width, 3).out_features, width)
        self.extra = nn.ModuleList([nn.Linear(1, size) for size in sizes])
        self.others = nn.ModuleList([kind() for kind in kinds])
        self.flag = nn.Identity() if flag is True else nn.Dropout()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(N_BLOCKS))
        self.head = nn.Linear(1, 1)


Change = Callable[[Any, int], object]


def width(blueprint: Any, i: int) -> object:
    return blueprint.configure(f"blocks.{i}", width=8)


def widths(blueprint: Any, i: int) -> object:
    return [blueprint.configure("blocks", i, width=w) for w in (8, 16, 8)]


def act(blueprint: Any, i: int) -> object:
    return blueprint.configure("blocks", i, act=nn.GELU, sizes=[1, 2])


def inner_settings(blueprint: Any, i: int) -> object:
    blueprint.configure(f"blocks.{i}.out", bias=False)
    return blueprint.configure(f"blocks.{i}", width=8)


def new_class(blueprint: Any, i: int) -> object:
    return blueprint.configure(f"blocks.{i}", nn.Linear, in_features=2, out_features=3)


def some_widths(blueprint: Any, i: int) -> object:
    return blueprint.configure(f"blocks.{i}", width=(8, 6, 4)[i % 3])


def items(blueprint: Any, i: int) -> object:
    blueprint.blocks[i].layers.append(nn.Tanh)
    return blueprint.configure(f"blocks.{i}", width=8)


def some_items(blueprint: Any, i: int) -> object:
    return items(blueprint, i) if i == 3 else width(blueprint, i)


@pytest.mark.parametrize(
    "change",
    [width, widths, act, inner_settings, new_class, some_widths, items, some_items],
)
def test_parts_are_what_a_run_of_the_whole_makes_of_them(change: Change) -> None:
    blueprint: Any = Blueprint(Net)
    for i in range(N_BLOCKS):
        change(blueprint, i)
    nodes = [*_described(blueprint._session.draft.tree)]

    blueprint._session.draft.refresh()

    assert nodes == [*_described(blueprint._session.draft.tree)]
    assert (
        blueprint.list_names()
        == Blueprint.from_dict(blueprint.to_dict(), Net).list_names()
    )
    blueprint.build()


class Signed(nn.Module):
    def __init__(self, slope: float = 1.0) -> None:
        super().__init__()
        self.layer = nn.ReLU() if math.copysign(1.0, slope) > 0 else nn.Tanh()


class SignedNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Signed() for _ in range(2))


def test_zeros_of_either_sign_make_parts_of_their_own() -> None:
    blueprint: Any = Blueprint(SignedNet)
    blueprint.configure("blocks.0", slope=0.0).configure("blocks.1", slope=-0.0)
    nodes = [*_described(blueprint._session.draft.tree)]

    blueprint._session.draft.refresh()

    assert nodes == [*_described(blueprint._session.draft.tree)]
    assert {nn.ReLU, nn.Tanh} <= {cls for _, _, cls, *_ in nodes}


def _described(tree: ConstructionNode) -> Iterator[tuple[object, ...]]:
    for node in tree.walk():
        described = (node.paths, node.ranks, node.cls, node.original_cls, node.edits)
        yield (*described, node.arguments, node.passed_arguments, len(node.children))


def test_equal_parts_are_constructed_once() -> None:
    blueprint = Blueprint(Net)
    Block.n_constructed = 0

    for i in range(N_BLOCKS):
        blueprint.configure(f"blocks.{i}", width=8)

    assert Block.n_constructed == 1


def test_each_part_explains_its_settings_by_its_own_edit() -> None:
    blueprint: Any = Blueprint(Net)
    for i in range(N_BLOCKS):
        blueprint.configure(f"blocks.{i}", width=8)

    targets = [
        blueprint._session.draft.nodes_by_path[f"blocks.{i}"].edits[-1].target
        for i in range(N_BLOCKS)
    ]

    assert targets == [f"blocks.{i}" for i in range(N_BLOCKS)]


def test_an_error_comes_at_the_line_that_asks_for_it_in_every_part() -> None:
    blueprint = Blueprint(Net)

    for i in range(N_BLOCKS):
        with pytest.raises(ConstructionError, match=rf"blocks\.{i}.*width is negative"):
            blueprint.configure(f"blocks.{i}", width=-1)
        with pytest.raises(SettingError, match=rf"blocks\.{i}.*no argument 'wide'"):
            blueprint.configure(f"blocks.{i}", wide=1)
        blueprint.configure(f"blocks.{i}", width=8)


def test_a_setting_that_only_one_part_has_keeps_it_apart() -> None:
    blueprint: Any = Blueprint(Net)
    blueprint.configure("blocks.*.layers.1", nn.ELU)
    blueprint.configure("blocks.1.layers.1", nn.Tanh)

    for i in range(N_BLOCKS):
        blueprint.configure(f"blocks.{i}", width=8)

    acts = [type(block.layers[1]) for block in blueprint.build().blocks]
    assert acts == [nn.ELU, nn.Tanh, *[nn.ELU] * 3]


@pytest.mark.parametrize(
    ("name", "values"),
    [("flag", (1, True)), ("flag", ([1], [True])), ("sizes", ((2,), [2]))],
)
def test_values_of_other_types_make_other_parts(name: str, values: Any) -> None:
    blueprint: Any = Blueprint(Net)

    for i, value in enumerate(values):
        blueprint.configure(f"blocks.{i}", **{name: value})

    draft = blueprint._session.draft
    arguments = [draft.nodes_by_path[f"blocks.{i}"].arguments[name] for i in (0, 1)]
    assert [repr(value) for value in arguments] == [repr(value) for value in values]


def test_two_classes_of_one_name_make_other_parts() -> None:
    classes = [type("Layer", (nn.Identity,), {}) for _ in range(2)]
    blueprint: Any = Blueprint(Net)

    for i, cls in enumerate(classes):
        blueprint.configure(f"blocks.{i}", kinds=[cls])

    tree = blueprint._session.draft.nodes_by_path
    assert [tree[f"blocks.{i}.others.0"].cls for i in (0, 1)] == classes


class Counting(nn.Module):
    """Has a layer more each time that one is constructed."""

    n_constructed: ClassVar[int] = 0

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        Counting.n_constructed += 1
        n_layers = Counting.n_constructed % 2 + 1
        self.layers = nn.ModuleList(nn.Linear(1, 1, bias) for _ in range(n_layers))


class OfCounting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        Counting.n_constructed = 0
        self.parts = nn.ModuleList(Counting() for _ in range(2))


def test_a_part_that_counts_in_its_class_is_told_by_its_maker() -> None:
    blueprint: Any = Blueprint(OfCounting)

    for i in range(2):
        blueprint.configure(f"parts.{i}", bias=False)

    assert [len(part.layers) for part in blueprint.parts] == [2, 1]
    assert [len(part.layers) for part in blueprint.build().parts] == [2, 1]


def test_copies_of_a_blueprint_change_by_themselves() -> None:
    blueprint: Any = Blueprint(Net)
    blueprint.configure("blocks.0", width=8)
    copy = blueprint.new()

    copy.configure("blocks.1", width=8).configure("blocks.1.out", bias=False)
    blueprint.configure("blocks.1", width=8)

    assert blueprint.create().blocks[1].out.bias is not None
    assert copy.create().blocks[1].out.bias is None


def test_a_blueprint_inside_of_a_part_keeps_its_settings() -> None:
    class Holder(nn.Module):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.part: Any = Blueprint(Block, width).configure("out", bias=False)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.holders = nn.ModuleList(Holder() for _ in range(2))

    blueprint: Any = Blueprint(Outer)
    for i in range(2):
        blueprint.configure(f"holders.{i}", width=8)
        blueprint.configure(f"holders.{i}.part.first", bias=False)

    for holder in blueprint.build().holders:
        assert holder.part.first.bias is None
        assert holder.part.out.bias is None
        assert holder.part.out.out_features == 8


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"net": Listed(3)})
        self.head = nn.Linear(1, 1)


class Listed(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.items = nn.ModuleList([nn.Linear(1, 1) for _ in range(n)])


def test_a_second_change_of_the_items_of_a_part_is_tried_as_the_first_one_is() -> None:
    blueprint: Any = Blueprint(Nested)
    blueprint["body", "net", "items"].pop(-1)

    with pytest.raises(SettingError, match="no item 2; it has 2 items"):
        blueprint["body", "net", "items"].pop(2)
