from typing import Any

import pytest
import torch
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import (
    SettingError,
)


class Holder(nn.Module):
    def __init__(self, child: nn.Module) -> None:
        super().__init__()
        self.child = child


def test_a_built_module_that_is_passed_is_copied_for_each_creation() -> None:
    part = nn.Linear(2, 2)
    blueprint = Blueprint(Holder, part)
    first, second = blueprint.create(), blueprint.create()

    weight: Any = first.child.weight
    assert torch.equal(weight, part.weight)
    assert weight is not part.weight
    assert first.child is not second.child


def test_a_layer_without_weights_that_is_passed_can_be_configured() -> None:
    blueprint: Any = Blueprint(nn.Sequential, nn.ReLU(inplace=True), nn.Linear(2, 2))

    assert type(blueprint.configure("0", nn.ELU).create()[0]) is nn.ELU
    with pytest.raises(SettingError, match="already built"):
        blueprint.configure("1", bias=False)
