from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint

from ..models import Net


@pytest.mark.parametrize("value", ["x", 3.5, [1]])
def test_a_wrong_type_names_the_path(value: Any) -> None:
    blueprint = Blueprint(Net)

    with pytest.raises(TypeError, match=r"blocks\.0\.0\.in_features.*expects int"):
        blueprint.configure("blocks.0.0", in_features=value)

    assert blueprint["blocks.0.0"].arguments["in_features"] == 4


def test_swapping_a_class_keeps_the_arguments_it_has_too() -> None:
    blueprint: Any = Blueprint(nn.Linear, 3, 4)
    assert str(blueprint) == "Linear(in_features=3, out_features=4)"

    with pytest.raises(ValueError, match="'nope'"):
        blueprint.configure(nope=1)
    blueprint.configure(nn.BatchNorm1d, num_features=10)

    assert str(blueprint) == "BatchNorm1d(num_features=10)"
    assert type(blueprint.build()) is nn.BatchNorm1d


def test_norms_hand_on_their_size() -> None:
    blueprint = Blueprint(nn.Sequential, Blueprint(nn.BatchNorm2d, 8, eps=0.1))
    norm: Any = blueprint.configure("0", nn.GroupNorm, num_groups=2).build()[0]

    assert (norm.num_groups, norm.num_channels, norm.eps) == (2, 8, 0.1)


class Variadic(nn.Module):
    def __init__(self, *sizes: int, **named: Any) -> None:
        super().__init__()
        self.sizes, self.named = sizes, named


class OnlyByPosition(nn.Module):
    def __init__(self, a: int, /, *rest: int) -> None:
        super().__init__()


def test_variadic_arguments_are_kept() -> None:
    blueprint = Blueprint(Variadic, 1, 2, 3, k=4)
    module = blueprint.configure(more=5).build()

    assert module.sizes == (1, 2, 3)
    assert module.named == {"k": 4, "more": 5}


def test_arguments_by_position_only_beside_variadic_ones_are_refused() -> None:
    with pytest.raises(TypeError, match=r"OnlyByPosition.*positional-only"):
        Blueprint(OnlyByPosition, 1, 2)


@pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_take_their_arguments(cls: Any) -> None:
    module = Blueprint(cls, 3, 4, num_layers=2).configure(batch_first=True).build()

    assert (module.input_size, module.hidden_size, module.num_layers) == (3, 4, 2)
    assert module.batch_first


def test_arguments_of_a_class_that_come_by_position_are_told() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(TypeError, match=r"arguments of Linear by name.* got 8"):
        bp.configure("0", nn.Linear, 8, 3)
