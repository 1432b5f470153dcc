import json
from typing import Any

import pytest
from torch import nn

from burnish.core import allow_classes
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import ConstructionError, SettingError

from ..models import Net, Parent


class Positive(nn.Module):
    def __init__(self, a: int = 1) -> None:
        super().__init__()
        if a < 0:
            raise ValueError("a is negative")
        self.a = a


def test_a_constructor_that_raises_leaves_the_blueprint_as_it_was() -> None:
    blueprint = Blueprint(Positive).configure(a=4)

    with pytest.raises(ValueError, match="a is negative"):
        blueprint.configure(a=-1)

    assert blueprint.a == 4
    assert blueprint.build().a == 4


def test_a_replacement_outlives_a_change_of_its_maker() -> None:
    blueprint = Blueprint(Parent).replace("child", nn.Identity).configure(a=3)

    assert isinstance(blueprint.create().child, nn.Identity)
    with pytest.raises(ValueError, match=r"chil: no module.*'child'"):
        blueprint.replace("chil", nn.Identity)


def test_a_pattern_means_the_parts_that_come_later_as_well() -> None:
    blueprint: Any = Blueprint(Net).configure("blocks.*.1", nn.GELU)
    blueprint.configure(depth=4)

    assert all(isinstance(block[1], nn.GELU) for block in blueprint.create().blocks)


class Choosing(nn.Module):
    def __init__(self, act: Any = nn.ReLU) -> None:
        super().__init__()
        self.act = act()


def test_a_setting_that_the_class_a_constructor_now_chooses_lacks_is_refused() -> None:
    blueprint = Blueprint(Choosing).configure("act", inplace=True)

    with pytest.raises(SettingError, match="act: GELU takes no argument 'inplace'"):
        blueprint.configure(act=nn.GELU)
    assert blueprint.create().act.inplace

    blueprint.replace("act", nn.GELU)
    again = Blueprint.from_dict(blueprint.configure(act=nn.GELU).to_dict(), Choosing)
    assert isinstance(again.create().act, nn.GELU)


class Following(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, width), nn.ReLU())
        last: Any = self.body[0]
        self.head = nn.Linear(last.out_features, 1)


def test_a_maker_that_raises_at_a_later_call_names_the_one_it_raises_for() -> None:
    blueprint = Blueprint(Following).configure("body.0", nn.Tanh)
    found = r"no attribute 'out_features'\. It has raised since body\.0 was configured "

    with pytest.raises(ConstructionError, match=found + r"\(Tanh\)") as caught:
        blueprint.configure(width=8)

    assert isinstance(caught.value.__cause__, AttributeError)
    with pytest.raises(ConstructionError, match=found):
        blueprint.create()
    blueprint.configure("body.0", nn.Linear, out_features=3).configure(width=8)
    assert blueprint.create().head.in_features == 3


def test_a_maker_that_raises_for_the_call_itself_names_no_other() -> None:
    blueprint = Blueprint(Following).configure("body.0", bias=False)

    with pytest.raises(ConstructionError) as caught:
        blueprint.configure(width=-8)

    assert "since" not in str(caught.value)


class Sized(nn.Module):
    def __init__(self, depth: int = 2, last: int = 4) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.LayerNorm(4) for _ in range(depth)])
        self.last = nn.Linear(4, last)


def one_of_two_copies() -> Any:
    layer = Blueprint(nn.TransformerEncoderLayer, 8, 2, 16, batch_first=True)
    blueprint: Any = Blueprint(nn.TransformerEncoder, layer, 2)
    blueprint.layers.pop()
    return blueprint.configure("layers.0.linear2", bias=False)


def a_value_that_suits_no_part_any_more() -> Any:
    blueprint: Any = Blueprint(Sized).configure(depth=0)
    return blueprint.replace("last", nn.Identity).configure(last=-1)


@pytest.mark.parametrize(
    "made", [one_of_two_copies, a_value_that_suits_no_part_any_more]
)
def test_a_log_is_read_whose_edits_did_one_after_the_other_alone(made: Any) -> None:
    blueprint = made()

    with allow_classes(Sized):
        again: Any = Blueprint.from_dict(json.loads(json.dumps(blueprint.to_dict())))

    assert str(again) == str(blueprint)
    assert repr(again.create()) == repr(blueprint.create())
