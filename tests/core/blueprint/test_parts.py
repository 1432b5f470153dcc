import random
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import SettingError

from .models import Chain, Coder

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
        with pytest.raises(SettingError, match="removed from its list"):
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


@pytest.fixture
def coder() -> Blueprint[Coder]:
    return Blueprint(Coder)


def test_configure_reaches_every_match_and_no_other(
    coder: Blueprint[Coder],
) -> None:
    coder["encoder", :2, "activation"].configure(nn.Tanh)
    coder[..., "layer#-1"].configure(bias=False)
    module = coder.build()

    kinds = [type(m.activation) for m in (*module.encoder, *module.decoder)]  # type: ignore[union-attr]  # layers
    assert kinds == [nn.Tanh] * 2 + [nn.ReLU] * 6
    biases = [m.layer.bias is None for m in (*module.encoder, *module.decoder)]  # type: ignore[union-attr]  # layers
    assert biases == [False] * 7 + [True]


def test_an_empty_selection_is_an_error_unless_it_is_allowed(
    coder: Blueprint[Coder],
) -> None:
    with pytest.raises(SettingError, match="no module is constructed"):
        coder["encoder", 7:, "layer"].configure(bias=False)

    coder["encoder", 7:, "layer"].configure(bias=False, allow_empty=True)


def test_what_is_asked_of_one_part_names_those_that_are_selected() -> None:
    blueprint: Any = Blueprint(Chain)

    with pytest.raises(SettingError, match=r"selected: body\.0, body\.1\. .*\.first"):
        _ = blueprint["body", :2].cls
