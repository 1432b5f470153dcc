import json
from typing import Any

import pytest
from torch import nn

from burnish.core import allow_classes
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import (
    SettingError,
)

from ..models import Chain, Child, Coder, Layer


class Thrice(nn.Module):
    def __init__(self, big: bool = False) -> None:
        super().__init__()
        b = 2
        for value in (10, 20, 30) if big else ():
            b = value
        self.child = Child(b=b)


def test_nothing_derived_is_stale_and_repeating_does_not_grow() -> None:
    blueprint = Blueprint(Thrice).configure(big=True)

    for _ in range(100):
        blueprint.configure(big=False).configure(big=True)

    with allow_classes(Thrice):
        assert len(blueprint.to_dict()["tape"]) == 1
    assert blueprint.child.b == 30
    assert blueprint.configure(big=False).create().child.b == 2


class TwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(2, 2)
        self.other = self.one


def test_a_setting_through_one_name_is_seen_through_the_other() -> None:
    blueprint = Blueprint(TwoNames).configure("other", bias=False)
    module = blueprint.build()

    assert blueprint.one.arguments["bias"] is False
    assert module.one is module.other
    assert module.one.bias is None


def test_copies_of_one_module_change_together() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    blueprint = Blueprint(Stack)
    blueprint.configure("encoder.layers.*.dropout1", p=0.5)
    module = blueprint.create()

    assert [layer.dropout1.p for layer in module.encoder.layers] == [0.5] * 3  # type: ignore[union-attr]  # encoder layers
    with pytest.raises(SettingError, match="copies of one module"):
        blueprint.configure("encoder.layers.0.dropout1", p=0.1)
    assert blueprint["encoder.layers.1.dropout1"].arguments["p"] == 0.5


def kinds(modules: Any) -> list[type[nn.Module]]:
    return [type(module) for module in modules]


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


def test_a_setting_stays_with_a_module_that_leaves_a_list_and_stands_elsewhere() -> (
    None
):
    blueprint = Blueprint(Items).configure("items.0", bias=False)

    blueprint.items.pop(0)

    built = blueprint.create()
    assert built.first.bias is None
    assert without_bias(built.items) == []


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


def test_a_pattern_never_means_the_whole() -> None:
    lists = (Blueprint(nn.Sequential) for _ in range(2))
    blueprint = Blueprint(nn.Sequential, *lists)

    blueprint["*"].append(nn.ReLU)

    names = [name for name, _ in blueprint.create().named_modules()]
    assert names == ["", "0", "0.0", "1", "1.0"]
