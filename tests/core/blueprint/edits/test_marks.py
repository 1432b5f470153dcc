import json
from typing import Any

import pytest
import torch
from torch import nn

from burnish.core.blueprint import Blueprint, after_build, after_init, register_style
from burnish.core.blueprint.errors import SettingError

from ..models import Coder, Hooked


@pytest.fixture(autouse=True)
def forget() -> None:
    Hooked.seen.clear()


def test_hooks_run_once_each_in_order_and_see_what_they_should() -> None:
    blueprint = Blueprint(Hooked)
    blueprint.freeze("one").prepare("two").freeze("three")
    assert Hooked.seen == []

    module = blueprint.create()

    assert Hooked.seen == [
        ("before_build", "two", False),
        ("after_build", "one", True),
        ("after_build", "three", True),
    ]
    assert isinstance(module.act, nn.Tanh)
    assert blueprint.act.cls is nn.ReLU
    assert not any(p.requires_grad for p in module.parameters())


def test_hooks_survive_copies_and_creations() -> None:
    copied = Blueprint(Hooked).freeze("x").prepare("y").new()

    copied.create()
    copied.build()

    moments = [moment for moment, _, _ in Hooked.seen]
    assert moments == ["before_build", "after_build"] * 2


def test_after_init_runs_at_once_and_after_each_init() -> None:
    blueprint = Blueprint(Hooked).grow("now")
    assert Hooked.seen[-1] == ("after_init", "now", True)
    Hooked.seen.clear()

    blueprint.configure(width=5)
    assert ("after_init", "now", True) in Hooked.seen
    Hooked.seen.clear()
    module: Any = blueprint.configure("extra", bias=False).create()

    assert Hooked.seen.count(("after_init", "now", True)) == 1
    assert module.extra.bias is None


def test_stateful_calls_are_replayed_by_copies() -> None:
    blueprint = Blueprint(Hooked).widen(7)
    assert Hooked.seen == [("stateful", "7", False)]

    copied = blueprint.new()

    assert Hooked.seen == [("stateful", "7", False)] * 2
    assert copied.width == 7
    assert copied.explain("width").sources[0].who == "widen(7)"
    assert copied.configure(width=2).create().layers[0].in_features == 2


def test_a_stateful_call_that_raises_changes_nothing() -> None:
    blueprint = Blueprint(Hooked)

    with pytest.raises(SettingError):
        blueprint.widen("wide")

    assert blueprint.width == 3
    assert blueprint.new().create().layers[0].in_features == 3


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 2)

    @after_build
    def zero(self) -> None:
        nn.init.zeros_(self.lin.weight)


def test_methods_of_parts_are_called_where_they_stand() -> None:
    blueprint = Blueprint(nn.Sequential, Blueprint(Part), Blueprint(Part))
    blueprint[1].zero()
    module: Any = blueprint.create()

    assert module[0].lin.weight.abs().sum() > 0
    assert module[1].lin.weight.abs().sum() == 0


def test_styles_are_calls_by_name() -> None:
    @register_style(Coder)
    def slim(blueprint: Any, width: int) -> None:
        blueprint.configure("**.layer", out_features=width, in_features=width)

    blueprint = Blueprint(Coder).style("slim", width=2)

    assert blueprint.styles() == ["slim"]
    assert blueprint.create()(torch.zeros(1, 2)).shape == (1, 2)
    assert blueprint.explain("encoder.0.layer.out_features")[0].who == "slim(width=2)"
    with pytest.raises(ValueError, match=r"no style 'slm'.*'slim'"):
        blueprint.style("slm")


class Noted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    @after_init
    def note(self, value: int) -> None:
        self.value = value


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        part: Any = Blueprint(Noted)
        self.part: Any = part.note(5)
        self.seen: Any = self.part.value


def test_what_an_after_init_call_sets_is_there_for_the_maker() -> None:
    bp = Blueprint(Reader)
    bp.part.note(6)

    assert Blueprint(Reader).create().seen == 5
    assert bp.create().seen == bp.new().create().seen == 6


@register_style(nn.Sequential, "headed")
def headed(bp: Any) -> None:
    bp.insert(0, nn.ReLU)


def chain() -> Blueprint[nn.Sequential]:
    return Blueprint(nn.Sequential, *(Blueprint(nn.Linear, 2, 2) for _ in range(3)))


def test_settings_before_a_style_that_moves_items_are_copied_and_read_as_they_are() -> (
    None
):
    bp = chain().configure("1", bias=False).style("headed")

    for other in (bp.new(), Blueprint.from_dict(json.loads(json.dumps(bp.to_dict())))):
        assert str(other) == str(bp)
    assert bp["2"].arguments["bias"] is False


def test_a_style_of_an_item_is_replayed_before_a_change_that_moves_the_item() -> None:
    bp: Blueprint[Any] = Blueprint(nn.Sequential, chain(), chain(), chain())
    bp[1].style("headed")
    bp.pop(0)

    for other in (bp, bp.new(), Blueprint.from_dict(bp.to_dict())):
        assert [len(part) for part in other.create()] == [4, 3]


def test_a_style_may_wrap_the_part_that_it_is_called_on() -> None:
    bp: Blueprint[Any] = Blueprint(nn.Sequential, chain()).configure("0.1", bias=False)
    bp[0].style("boxed")
    bp[0].style("headed")

    for other in (bp, bp.new(), Blueprint.from_dict(bp.to_dict())):
        assert str(other) == str(bp)
        built = other.create()
        assert isinstance(built[0][0], nn.ReLU)
        assert built[0][1][1].bias is None


@register_style(nn.Sequential, "boxed")
def boxed(bp: Any) -> None:
    bp.wrap(lambda part: Blueprint(nn.Sequential, part))
