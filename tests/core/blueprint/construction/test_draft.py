from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import (
    SettingError,
)

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
