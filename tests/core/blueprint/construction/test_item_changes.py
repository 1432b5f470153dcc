"""Lists and dicts of modules change as they are asked to, or stay as they were."""

import functools
from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import SettingError

from ..models import Coder, Layer


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


def test_the_last_of_a_dict_is_taken_out_by_default() -> None:
    blueprint = Blueprint(Items)

    blueprint.names.pop()

    assert list(blueprint.create().names) == ["0", "1"]


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
