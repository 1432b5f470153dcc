import json
from typing import Any

import pytest
from torch import nn

import burnish
from burnish.core.blueprint import Blueprint, after_build
from burnish.core.blueprint.errors import SettingError

from .models import Coder


def test_an_assignment_to_a_blueprint_is_an_error_that_says_how_to_change_it() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(
        AttributeError, match=r"^Sequential: 'x' cannot be set.*configure"
    ):
        bp.x = nn.ReLU()
    with pytest.raises(
        AttributeError, match=r"^0: 'bias' cannot be set .*configure\(bias=..."
    ):
        bp[0].bias = False


def test_what_only_modules_have_is_told_on_one_line() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(AttributeError, match=r"^Sequential has no .*bp.build\(\)"):
        _ = bp.parameters


class AnyNames(burnish.Module):
    """Takes arguments under names that methods have for theirs."""

    def __init__(self, /, cls: int = 1, **others: int) -> None:
        super().__init__()
        self.cls, self.others = cls, others


def test_arguments_called_as_those_of_methods_are_configured_like_all() -> None:
    blueprint = AnyNames.blueprint(cls=2, self=3)

    assert blueprint.create().others == {"self": 3}

    built = blueprint.configure(cls=4, self=5).build()

    assert (built.cls, built.others) == (4, {"self": 5})


@pytest.fixture
def coder() -> Blueprint[Coder]:
    return Blueprint(Coder)


LAYERS = [f"{side}.{i}.layer" for side in ("encoder", "decoder") for i in range(4)]


def test_filters_by_class_attribute_and_predicate(coder: Blueprint[Coder]) -> None:
    everything = coder[...]

    assert everything.isinstance(nn.Linear).list_names() == LAYERS
    assert everything.hasattr("out_features").list_names() == LAYERS
    odd = everything.filter(lambda name, part: "1" in name and part.cls is nn.ReLU)
    assert odd.list_names() == ["encoder.1.activation", "decoder.1.activation"]


def test_selections_compose_and_name_parts_by_attribute(
    coder: Blueprint[Coder],
) -> None:
    assert coder["encoder|decoder"][0].layer.list_names() == [
        "encoder.0.layer",
        "decoder.0.layer",
    ]
    assert coder.encoder[1:3].activation.all.list_names() == [
        "encoder.1.activation",
        "encoder.2.activation",
    ]
    assert coder[..., "layer"].first.list_names() == ["encoder.0.layer"]
    assert [part.cls for part in coder.encoder[:2].layer] == [nn.Linear] * 2
    assert len(coder["encoder|decoder"]) == 2


def test_an_unknown_attribute_lists_the_nearest(coder: Blueprint[Coder]) -> None:
    with pytest.raises(AttributeError, match=r"'encodr'.*Did you mean 'encoder'"):
        _ = coder.encodr


@pytest.mark.parametrize(
    ("part", "n"), [("encoder", 4), ("encoder.0", 1), ("encoder.*", 4), ("**", 26)]
)
def test_a_list_has_the_length_of_its_items_and_a_selection_of_its_parts(
    coder: Blueprint[Coder], part: str, n: int
) -> None:
    assert len(coder[part]) == len(list(coder[part])) == n


def test_a_list_iterates_over_its_items(coder: Blueprint[Coder]) -> None:
    for i, layer in enumerate(coder.encoder):
        layer.configure(width=i + 1)

    assert [layer.layer.in_features for layer in coder.encoder] == [1, 2, 3, 4]
    assert [part.list_names() for part in coder["encoder|decoder"]] == [
        ["encoder"],
        ["decoder"],
    ]


def test_a_list_that_is_all_that_a_filter_left_is_still_one_of_a_selection() -> None:
    lists = Blueprint(Nest).isinstance(nn.ModuleList)

    assert [part.list_names() for part in lists] == [["items"]]
    assert len(lists) == 1


class Nest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.items = nn.ModuleList([Switch(), Switch()])


class Switch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.is_on = False

    @after_build
    def turn_on(self) -> None:
        self.is_on = True


def test_an_attribute_of_a_list_is_that_of_all_its_items(
    coder: Blueprint[Coder],
) -> None:
    layers = coder.encoder.layer

    assert layers.list_names() == LAYERS[:4]
    assert coder["encoder|decoder"].layer.list_names() == LAYERS
    layers.configure(bias=False)
    built: Any = coder.create()
    assert [layer.layer.bias is None for layer in built.encoder] == [True] * 4


def test_an_attribute_of_a_list_means_items_that_come_later_too() -> None:
    bp = Blueprint(Coder)
    bp.encoder.layer.configure(bias=False)

    built: Any = bp.configure(depth=6).create()
    assert built.encoder[5].layer.bias is None


def test_a_marked_method_of_a_list_is_called_on_all_its_items() -> None:
    bp = Blueprint(Nest)
    bp["items"].turn_on()

    built = bp.create()

    assert [item.is_on for item in built.items] == [True, True]


def test_what_no_item_of_a_list_has_is_an_error(coder: Blueprint[Coder]) -> None:
    with pytest.raises(AttributeError, match=r"^encoder has no part.*'nothing'"):
        _ = coder.encoder.nothing


def test_filters_of_the_whole_and_of_one_part_look_inside(
    coder: Blueprint[Coder],
) -> None:
    assert coder.isinstance(nn.Linear).list_names() == LAYERS
    assert coder.encoder[0].isinstance(nn.Linear).list_names() == ["encoder.0.layer"]
    assert coder.hasattr("out_features").list_names() == LAYERS
    assert coder.filter(lambda path, part: path == "").list_names() == [""]


def test_selections_add_up_without_repeating(coder: Blueprint[Coder]) -> None:
    both = coder["decoder", 0, "layer"] + coder[..., "layer#0"] + coder.decoder[0].layer

    assert both.list_names() == ["decoder.0.layer", "encoder.0.layer"]
    both.configure(bias=False)
    built: Any = coder.create()
    assert built.encoder[0].layer.bias is built.decoder[0].layer.bias is None
    assert built.encoder[1].layer.bias is not None


def test_parts_of_different_blueprints_do_not_add_up(coder: Blueprint[Coder]) -> None:
    with pytest.raises(TypeError, match="different blueprints"):
        _ = coder.encoder + Blueprint(Coder).encoder
    with pytest.raises(TypeError):
        _ = coder.encoder + nn.ReLU  # type: ignore[operator]  # no selection


def test_show_prints_a_part_with_who_configured_it(
    coder: Blueprint[Coder], capsys: pytest.CaptureFixture[str]
) -> None:
    coder.configure("encoder.0.layer", bias=False)

    assert coder.encoder[0].show().list_names() == ["encoder.0"]
    text = capsys.readouterr().out
    assert text.startswith("encoder.0: Layer()\n")
    assert "bias=False)  <- user: bias=False" in text
    assert "decoder" not in text


def test_show_prints_the_whole(
    coder: Blueprint[Coder], capsys: pytest.CaptureFixture[str]
) -> None:
    coder.show()

    assert capsys.readouterr().out.rstrip("\n") == str(coder.diagram())


class TestNamesOfItems:
    def test_an_item_of_a_sequential_may_have_a_name(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))
        bp.append(nn.ReLU, name="act").insert("act", nn.Dropout, name="drop")
        bp.configure("drop", p=0.25)

        built: Any = bp.create()

        assert [*dict(built.named_children())] == ["0", "drop", "act"]
        assert built.drop.p == 0.25

    def test_numbers_behind_a_named_item_follow_with_their_settings(self) -> None:
        layers = (Blueprint(nn.Linear, 2, 2) for _ in range(2))
        bp = Blueprint(nn.Sequential, *layers).configure("1", bias=False)

        built = bp.insert(1, nn.ReLU, name="act").create()

        assert [*dict(built.named_children())] == ["0", "act", "2"]
        assert built[2].bias is None

    def test_selections_get_items_of_one_name(self) -> None:
        bp = Blueprint(
            nn.Sequential, Blueprint(nn.Sequential), Blueprint(nn.Sequential)
        )
        bp["*"].append(Blueprint(nn.Linear, 2, 2), name="conv")

        assert bp[..., "conv"].list_names() == ["0.conv", "1.conv"]

    def test_a_dict_takes_the_name_as_its_key(self) -> None:
        bp = Blueprint(nn.ModuleDict).append(nn.ReLU, name="act")

        assert [*bp.create()] == ["act"]

    def test_the_name_is_in_the_file(self) -> None:
        bp = Blueprint(nn.Sequential).append(nn.ReLU, name="act")

        data = json.loads(json.dumps(bp.to_dict()))

        assert str(Blueprint.from_dict(data)) == str(bp)
        assert data["tape"][0]["name"] == "act"

    @pytest.mark.parametrize(
        ("cls", "name", "message"),
        [
            (nn.ModuleList, "act", "have numbers, not names"),
            (nn.Sequential, "forward", "already has an attribute 'forward'"),
            (nn.Sequential, "a.b", "'a.b' cannot name a part"),
            (nn.Sequential, "0", "'0' cannot name a part"),
        ],
    )
    def test_a_name_that_cannot_be_is_refused(
        self, cls: type[nn.Module], name: str, message: str
    ) -> None:
        bp = Blueprint(cls)

        with pytest.raises(SettingError, match=message):
            bp.append(nn.ReLU, name=name)

        assert dict(bp.create().named_children()) == {}

    def test_a_name_that_is_taken_is_refused(self) -> None:
        bp = Blueprint(nn.Sequential).append(nn.ReLU, name="act")

        with pytest.raises(SettingError, match="an item 'act' already exists"):
            bp.append(nn.Tanh, name="act")


@pytest.mark.parametrize("key", [None, 1.5, nn.Linear, slice(0, 2), "part"])
def test_an_item_is_meant_by_its_number_or_name(key: Any) -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))
    key = bp[0] if key == "part" else key

    name: Any = 3

    for change in (bp.pop, bp.remove, lambda key: bp.insert(key, nn.ReLU)):
        with pytest.raises(TypeError, match=r"give the number .*pop\(0\).*; got "):
            change(key)
    with pytest.raises(SettingError, match=r"name must be a str, got 3"):
        bp.append(nn.ReLU, name=name)
    assert len(bp) == 1
