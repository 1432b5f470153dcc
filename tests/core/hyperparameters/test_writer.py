"""A module is told as a dict: its class, its arguments, its children."""

import json
from typing import Any

import pytest
from torch import nn

from burnish.config import Hparams
from burnish.core import (
    Module,
    from_hyperparameters,
    get_hparams,
)

from .models import Holds, Net, Pair, again, with_computed_field


def test_the_dict_has_class_arguments_and_children() -> None:
    hparams = Net(3).hparams

    assert hparams == {
        "__module__": Net.__module__,
        "__name__": "Net",
        "a": 3,
        "b": 2,
        "c": "x",
        "lin": get_hparams(nn.Linear(3, 2)),
        "acts": [get_hparams(nn.ReLU()), get_hparams(nn.Tanh())],
        "m": {"k": get_hparams(nn.Identity())},
    }
    assert json.loads(json.dumps(hparams)) == hparams
    assert hparams.lin.in_features == hparams["lin"]["in_features"] == 3


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(3, 4, bias=False),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.LayerNorm([2, 3]),
        nn.LSTM(3, 4, 2, batch_first=True, proj_size=2),
        nn.MultiheadAttention(4, 2, bias=False),
        nn.Embedding(5, 3, padding_idx=0),
        nn.Hardtanh(-2, 2),
        nn.BatchNorm2d(4, affine=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_of_torch_are_told_and_made_again(layer: nn.Module) -> None:
    made = again(layer)

    assert repr(made) == repr(layer)
    assert shapes(made) == shapes(layer)


def test_a_linear_layer_is_its_three_numbers() -> None:
    hparams = get_hparams(nn.Linear(3, 4, bias=False))

    assert {k: v for k, v in hparams.items() if not k.startswith("__")} == {
        "in_features": 3,
        "out_features": 4,
        "bias": False,
    }


def shapes(net: nn.Module) -> dict[str, Any]:
    return {name: (t.shape, t.dtype) for name, t in net.state_dict().items()}


class Foreign(nn.Module):
    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.size = size
        self.lin = nn.Linear(size, size)


def test_a_class_that_nobody_knows_is_named() -> None:
    with pytest.raises(
        NotImplementedError, match=rf"{__name__}\.Foreign.*register_hparams"
    ):
        get_hparams(Foreign())


def test_a_child_of_an_unknown_class_is_its_name_alone() -> None:
    assert Holds(Foreign()).hparams["value"] == {
        "__module__": __name__,
        "__name__": "Foreign",
    }


def test_a_computed_field_is_in_the_extended_dict_alone() -> None:
    typed = with_computed_field()
    net = typed(32, heads=2)

    extended = get_hparams(net, extended=True)

    assert "head_dim" not in net.hparams
    assert extended["head_dim"] == 16
    assert from_hyperparameters(extended).hparams == net.hparams


def test_a_child_under_two_names_is_shared_again() -> None:
    shared = nn.Linear(2, 2)
    net = Pair(Pair(shared, nn.ReLU()), shared)

    made = again(net)

    assert net.hparams["right"] == {"__ref__": "left.left"}
    assert made.right is made.left.left
    assert len(list(made.parameters())) == 2
    assert get_hparams(made) == net.hparams


def test_a_child_that_a_constructor_made_is_shared_again() -> None:
    inner = Net(3)
    net = Pair(inner, inner.acts[1])

    made = again(net)

    assert net.hparams["right"] == {"__ref__": "left.acts.1"}
    assert made.right is made.left.acts[1]


def test_a_container_under_two_names_is_shared_again() -> None:
    shared = nn.Sequential(nn.Linear(2, 2))

    made = again(Pair(shared, shared))

    assert made.right is made.left


def test_changing_the_dict_changes_no_module() -> None:
    net = Holds([1, {"x": [2]}])
    hparams = net.hparams

    hparams["value"][1]["x"].append(3)
    hparams["more"] = 1

    assert net.hparams["value"] == [1, {"x": [2]}]
    assert "more" not in net.hparams
    with pytest.raises(AttributeError, match="are a copy"):
        net.hparams.value = 3


class Typed(Hparams):
    lr: float = 0.1
    tags: tuple[str, ...] = ()


class Many(Module):
    def __init__(
        self,
        layers: nn.Module,
        heads: dict[str, nn.Module],
        stages: list[nn.Module],
        named: nn.Module,
        maybe: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.layers, self.named, self.maybe = layers, named, maybe
        self.heads, self.stages = nn.ModuleDict(heads), nn.ModuleList(stages)


def test_submodules_as_arguments_come_back_in_what_held_them() -> None:
    from collections import OrderedDict

    net = Many(
        nn.ModuleList([nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.ModuleList())]),
        {"b": nn.Linear(3, 1), "a": nn.Sequential(nn.Linear(3, 2))},
        [nn.ModuleDict({"x": nn.Linear(1, 1)})],
        nn.Sequential(OrderedDict(first=nn.Linear(2, 2), last=nn.ReLU())),
    )

    made = again(net)

    assert repr(made) == repr(net)
    assert shapes(made) == shapes(net)
    assert get_hparams(made) == net.hparams
    assert net.hparams["layers"][0] == get_hparams(nn.Linear(2, 3))
    assert net.hparams["heads"]["b"] == get_hparams(nn.Linear(3, 1))


class Clash(Module):
    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)


def test_an_argument_wins_over_a_child_of_its_name() -> None:
    net = Clash(0.25)

    extended = get_hparams(net, extended=True)

    assert net.hparams["dropout"] == 0.25
    assert extended["__children__"] == {"dropout": get_hparams(nn.Dropout(0.25))}
    assert repr(from_hyperparameters(extended)) == repr(net)


def test_bare_hyperparameters_leave_out_what_plain_data_makes() -> None:
    assert get_hparams(Net(3), bare=True) == {
        "__module__": Net.__module__,
        "__name__": "Net",
        "a": 3,
        "b": 2,
        "c": "x",
    }
    net = Pair(Net(3), nn.ReLU())
    assert get_hparams(net, bare=True) == get_hparams(net)
