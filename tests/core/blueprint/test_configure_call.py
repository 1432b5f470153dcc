from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import (
    SettingError,
)

from .models import Coder, Grand, Net, Parent


@pytest.mark.parametrize(
    "configure",
    [
        lambda bp: bp.configure("parent.child", b=3),
        lambda bp: bp.configure("parent", "child", b=3),
        lambda bp: bp.configure("parent", "child", "b", 3),
        lambda bp: bp.configure("parent.child.b", 3),
        lambda bp: bp.configure({"parent.child.b": 3}),
        lambda bp: bp.parent.configure("child", b=3),
        lambda bp: bp.parent.child.configure(b=3),
        lambda bp: bp.parent.child.configure("b", 3),
        lambda bp: bp["parent", "child"].configure(b=3),
        lambda bp: bp[..., "child"].configure(b=3),
        lambda bp: bp.configure("**.child", b=3),
    ],
)
def test_every_way_to_set_means_the_same(configure: Any) -> None:
    blueprint = Blueprint(Grand)

    configure(blueprint)

    assert blueprint.parent.child.b == 3
    assert blueprint.build().parent.child.b == 3


def test_an_unknown_name_lists_the_valid_ones_and_changes_nothing() -> None:
    blueprint = Blueprint(Parent)

    with pytest.raises(ValueError, match=r"no argument 'aa'.*'a'.*takes: a, b.*child"):
        blueprint.configure(a=5, aa=1)

    assert blueprint.a == 10
    assert blueprint.create().child.a == 10


def test_a_replacement_keeps_nothing_and_brings_its_own_settings() -> None:
    part = Blueprint(Net, 1).configure("head", out_features=7)
    blueprint = Blueprint(Net).replace("blocks.1", part)
    module: Any = blueprint.create()

    assert module.blocks[1].head.out_features == 7
    assert blueprint["blocks.1.head"].arguments["out_features"] == 7
    assert blueprint.configure("blocks.1", depth=2)["blocks.1.blocks", :].list_names()


def test_an_empty_match_is_an_error_unless_it_is_allowed() -> None:
    blueprint: Any = Blueprint(Net)

    with pytest.raises(SettingError, match=r"\*\*\.act: no module.*pattern"):
        blueprint.configure("**.act", nn.GELU)
    blueprint.configure("blocks.2.1", nn.GELU, allow_empty=True).configure(depth=3)

    assert isinstance(blueprint.create().blocks[2][1], nn.GELU)


class TestALayerThatWouldBecomeAnEmptyList:
    @pytest.mark.parametrize("cls", [nn.Sequential, nn.ModuleList, nn.ModuleDict])
    def test_is_refused_with_what_to_do(self, cls: type[nn.Module]) -> None:
        bp = Blueprint(Coder)

        with pytest.raises(SettingError, match=r"Linear would become .* wrap\("):
            bp.configure("**.layer", cls)

        assert isinstance(bp.create().encoder[0].layer, nn.Linear)

    @pytest.mark.parametrize("cls", [nn.Sequential, nn.ModuleList, nn.ModuleDict])
    def test_is_told_how_to_put_it_into_the_list(self, cls: type[nn.Module]) -> None:
        bp = Blueprint(Coder)
        with pytest.raises(SettingError) as caught:
            bp.configure("encoder.0.layer", cls)
        told = (
            str(caught.value)
            .partition("into it, ")[2]
            .partition("; to put other parts")[0]
        )

        eval(
            f"bp.{told.replace(', ...', '')}",
            {"bp": bp, "Blueprint": Blueprint, "nn": nn},
        )

        layers: Any = bp.create().encoder[0].layer
        assert type(layers) is cls
        assert [type(layer) for layer in layers.children()] == [nn.Linear]

    def test_is_refused_however_it_is_said(self) -> None:
        bp = Blueprint(Coder)

        with pytest.raises(SettingError, match="without items"):
            bp.encoder[0].layer.configure(nn.Sequential)
        with pytest.raises(SettingError, match="without items"):
            bp.encoder[0].configure(layer=nn.Sequential)

    def test_is_put_there_by_who_says_so(self) -> None:
        empty: Blueprint[nn.Sequential] = Blueprint(nn.Sequential)
        bp = Blueprint(Coder).configure("encoder.0.layer", empty)
        bp.replace("encoder.1.layer", nn.Sequential)

        built = bp.create()

        for layer in built.encoder[:2]:
            assert str(layer.layer) == "Sequential()"

    def test_is_no_list_that_its_maker_fills(self) -> None:
        bp = Blueprint(Coder).configure("decoder", nn.Sequential)

        assert len(bp.create().decoder) == 4


class CountedBlock(nn.Module):
    n_constructed = 0

    def __init__(self) -> None:
        super().__init__()
        CountedBlock.n_constructed += 1
        self.act = nn.ReLU()
        self.layer = nn.Linear(2, 2)


class CountedNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([CountedBlock() for _ in range(3)])


@pytest.mark.parametrize(
    "configure",
    [
        lambda bp, i: bp.configure("**.act", nn.GELU if i % 2 else nn.Tanh),
        lambda bp, i: bp.configure("blocks.*.act", nn.GELU if i % 2 else nn.Tanh),
        lambda bp, i: bp.configure("blocks.0.act", nn.GELU if i % 2 else nn.Tanh),
        lambda bp, i: bp.configure("**.layer", bias=bool(i % 2)),
        lambda bp, i: bp.configure("blocks.1.layer", bias=bool(i % 2)),
        lambda bp, i: bp.configure("blocks.1.layer.bias", bool(i % 2)),
    ],
)
def test_a_change_of_layers_runs_no_constructor_of_their_makers(configure: Any) -> None:
    blueprint = Blueprint(CountedNet)
    configure(blueprint, 0)
    n_constructed = CountedBlock.n_constructed

    for i in range(1, 4):
        configure(blueprint, i)

    assert CountedBlock.n_constructed == n_constructed
