import functools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint, stateful
from burnish.core.blueprint.errors import SettingError

from .models import Coder, Layer


def kinds(modules: Any) -> list[type[nn.Module]]:
    return [type(module) for module in modules]


def test_append_extend_insert_and_pop_change_the_list_that_is_built() -> None:
    blueprint = Blueprint(Coder, depth=1)
    blueprint.encoder.append(nn.ReLU).extend([nn.Tanh, Blueprint(nn.Linear, 4, 4)])
    blueprint.encoder.insert(0, functools.partial(nn.ELU, alpha=2.0))
    blueprint.decoder.pop()

    module = blueprint.create()

    assert kinds(module.encoder) == [nn.ELU, Layer, nn.ReLU, nn.Tanh, nn.Linear]
    assert len(module.decoder) == 0
    assert blueprint.encoder[:].list_names() == [f"encoder.{i}" for i in range(5)]


def test_what_was_added_can_be_configured_and_is_built_anew_each_time() -> None:
    blueprint = Blueprint(Coder, depth=1)
    blueprint.encoder.append(Layer)
    blueprint.configure("encoder.1.activation", nn.Tanh)
    first, second = blueprint.create(), blueprint.create()

    assert isinstance(first.encoder[1].activation, nn.Tanh)  # type: ignore[union-attr]  # a layer
    assert first.encoder[1] is not second.encoder[1]


def test_settings_follow_their_items_when_one_comes_or_goes() -> None:
    blueprint = Blueprint(Coder, depth=3)
    blueprint.configure("encoder.1.activation", nn.Tanh)
    blueprint.encoder.insert(0, Layer)

    found = [blueprint[f"encoder.{i}.activation"].cls for i in (1, 2)]
    assert found == [nn.ReLU, nn.Tanh]

    blueprint.encoder.pop(0)
    assert blueprint["encoder.1.activation"].cls is nn.Tanh
    blueprint.encoder.pop(1)
    built: Any = blueprint.build()
    assert kinds(layer.activation for layer in built.encoder) == [nn.ReLU] * 2


def test_appending_to_a_selection_reaches_every_list() -> None:
    blueprint = Blueprint(Coder, depth=1)
    blueprint["encoder|decoder"].append(nn.ReLU)
    module = blueprint.create()

    assert len(module.encoder) == len(module.decoder) == 2


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
        self.lin = nn.Linear(1, 1)


def test_dicts_of_modules_change_by_name() -> None:
    blueprint = Blueprint(Named)
    blueprint.parts.insert("c", nn.GELU).remove("a")

    assert list(blueprint.create().parts) == ["b", "c"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda bp: bp.parts.remove("z"), "no item 'z'"),
        (lambda bp: bp.lin.append(nn.ReLU), "only lists and dicts"),
        (lambda bp: bp.nothing.append(nn.ReLU), "no part"),
        (lambda bp: bp.parts.insert("d", nn.Linear(2, 2)), "has weights"),
        (lambda bp: bp.parts.insert("d", 3), "module class"),
    ],
)
def test_a_change_that_cannot_be_changes_nothing(change: Any, problem: str) -> None:
    blueprint = Blueprint(Named)
    before = str(blueprint)

    with pytest.raises((SettingError, AttributeError, TypeError), match=problem):
        change(blueprint)

    assert str(blueprint) == before
    assert list(blueprint.create().parts) == ["a", "b"]


@pytest.mark.parametrize("index", [4, -5])
def test_an_index_out_of_range_says_how_many_there_are(index: int) -> None:
    blueprint = Blueprint(Coder)

    with pytest.raises(SettingError, match="4 items"):
        blueprint.encoder.pop(index)


class Items(nn.Module):
    """A list and a dict of layers, of which the first of the list is shared."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.names = nn.ModuleDict({str(i): nn.Linear(2, 2) for i in range(3)})
        self.first = self.items[0]


def without_bias(modules: Any) -> list[str]:
    return [name for name, layer in modules.named_children() if layer.bias is None]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda b: b.items.pop(1), ["1"]),
        (lambda b: b.items.pop("1"), ["1"]),
        (lambda b: b.items.remove("1"), ["1"]),
        (lambda b: b.items.insert(1, Blueprint(nn.Linear, 2, 2)), ["3"]),
        (lambda b: b.items.insert("1", Blueprint(nn.Linear, 2, 2)), ["3"]),
        (lambda b: b.items.pop("2"), []),
    ],
)
def test_settings_follow_their_items_however_the_place_is_said(
    change: Any, expected: list[str]
) -> None:
    blueprint = Blueprint(Items).configure("items.2", bias=False)

    change(blueprint)

    assert without_bias(blueprint.create().items) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda b: b.names.pop(1), ["2"]),
        (lambda b: b.names.pop("1"), ["2"]),
        (lambda b: b.names.insert("more", Blueprint(nn.Linear, 2, 2)), ["2"]),
        (lambda b: b.names.insert(1, Blueprint(nn.Linear, 2, 2)), ["2"]),
        (lambda b: b.names.insert("2", Blueprint(nn.Linear, 2, 2)), []),
        (lambda b: b.names.pop(), []),
    ],
)
def test_settings_of_a_dicts_items_stay_with_their_names(
    change: Any, expected: list[str]
) -> None:
    blueprint = Blueprint(Items).configure("names.2", bias=False)

    change(blueprint)

    assert without_bias(blueprint.create().names) == expected


def test_the_last_of_a_dict_is_taken_out_by_default() -> None:
    blueprint = Blueprint(Items)

    blueprint.names.pop()

    assert list(blueprint.create().names) == ["0", "1"]


def test_a_setting_stays_with_a_module_that_leaves_a_list_and_stands_elsewhere() -> (
    None
):
    blueprint = Blueprint(Items).configure("items.0", bias=False)

    blueprint.items.pop(0)

    built = blueprint.create()
    assert built.first.bias is None
    assert without_bias(built.items) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.names.append(nn.ReLU),
        lambda b: b.names.insert(7, nn.ReLU),
        lambda b: b.names.pop(7),
    ],
)
def test_a_dict_of_modules_asks_for_a_name(change: Any) -> None:
    with pytest.raises(SettingError, match=r"names: .*names, not positions.*'0', '1'"):
        change(Blueprint(Items))


class Chain(nn.Module):
    """A list and a dict of layers that are told apart by their sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList(nn.Linear(i, i) for i in range(1, 6))
        self.byname = nn.ModuleDict({str(i): nn.Linear(i, i) for i in range(6, 8)})

    @stateful
    def lighten(self) -> None:
        blueprint: Any = self
        blueprint.configure("body.2", bias=False)

    @stateful
    def lose_first(self) -> None:
        blueprint: Any = self
        blueprint.body.pop(0)
        blueprint.configure("body.17", bias=False)


SELECTIONS: dict[str, Callable[[Any], Any]] = {
    "item": lambda b: b.body[2],
    "path": lambda b: b["body.2"],
    "slice": lambda b: b["body", 1:4],
    "places": lambda b: b["body", [0, -1]],
    "either": lambda b: b["body.0, body.3"],
    "which": lambda b: b[..., "*#1:4"],
    "filter": lambda b: b["body.*"].filter(lambda path, part: part.out_features > 2),
    "isinstance": lambda b: b["body", :].isinstance(nn.Linear),
    "first": lambda b: b["body.*"].first,
    "all": lambda b: b["body", 1:].all,
    "in a dict": lambda b: b["byname", [0, 1]],
}


@pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("seed", range(6))
def test_what_was_selected_stays_the_same_items_whatever_comes_and_goes(
    select: Callable[[Any], Any], seed: int
) -> None:
    rng = random.Random(seed)
    blueprint: Any = Blueprint(Chain)
    selection = select(blueprint)
    before = sizes_of_items(selection)
    left = {1, 2, 3, 4, 5}
    for _ in range(4):
        items = [part.arguments["out_features"] for part in blueprint.body[:]]
        if rng.random() < 0.6:
            index = rng.randrange(-len(items), len(items))
            left.discard(items[index])
            blueprint.body.pop(index)
        else:
            blueprint.body.insert(rng.randrange(len(items)), Blueprint(nn.Linear, 9, 9))
    blueprint.byname.pop("6")

    expected = [size for size in before if size in left or size == 7]

    assert sorted(sizes_of_items(selection)) == sorted(expected)
    assert len(selection) == len(selection.list_names()) == len(bool_names(selection))
    if not expected:
        with pytest.raises(SettingError, match="taken out of its list"):
            selection.configure(bias=False)
        return
    selection.configure(bias=False)
    module = blueprint.create()
    layers = [*module.body, *module.byname.values()]
    without = [layer.out_features for layer in layers if layer.bias is None]
    assert sorted(without) == sorted(expected)


def sizes_of_items(selection: Any) -> list[int]:
    parts = [part for part in selection if issubclass(part.cls, nn.Linear)]
    return [part.arguments["out_features"] for part in parts]


def bool_names(selection: Any) -> list[str]:
    return [name for part in selection for name in part.list_names()]


def test_parts_of_a_loop_follow_what_the_loop_takes_out() -> None:
    blueprint: Any = Blueprint(Chain)
    for part in blueprint.body[:]:
        if part.arguments["out_features"] % 2:
            blueprint.body.pop(int(part.list_names()[0].rpartition(".")[2]))

    assert [layer.out_features for layer in blueprint.create().body] == [2, 4]


def test_a_selection_outlives_a_change_that_fails() -> None:
    blueprint: Any = Blueprint(Chain)
    item = blueprint.body[2]
    with pytest.raises(SettingError):
        blueprint.lose_first()
    with pytest.raises(SettingError):
        blueprint.body.pop(17)

    assert item.list_names() == ["body.2"]


def shortened(blueprint: Any) -> Any:
    """Return the blueprint after a call, a setting and two changes of its list."""
    blueprint.lighten()
    blueprint.configure("body.3", device="meta")
    blueprint.body.pop(0)
    blueprint.body.insert(1, Blueprint(nn.Linear, 9, 9))
    return blueprint


def shown_sizes(module: Any) -> list[tuple[int, bool, str]]:
    return [
        (layer.out_features, layer.bias is None, layer.weight.device.type)
        for layer in module
    ]


def test_copies_and_files_hold_what_was_meant_before_a_list_changed() -> None:
    blueprint = shortened(Blueprint(Chain))
    expected = [
        *((2, False, "cpu"), (9, False, "cpu"), (3, True, "cpu")),
        *((4, False, "meta"), (5, False, "cpu")),
    ]

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Identity()

    outer: Any = Blueprint(Outer).replace("part", blueprint)
    data = json.loads(json.dumps(blueprint.to_dict()))

    assert shown_sizes(blueprint.create().body) == expected
    assert shown_sizes(blueprint.new().create().body) == expected
    assert shown_sizes(blueprint.new().new().create().body) == expected
    assert shown_sizes(Blueprint.from_dict(data, Chain).create().body) == expected
    assert shown_sizes(outer.create().part.body) == expected
    assert shown_sizes(outer.new().create().part.body) == expected
