import enum
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core import allow_classes
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import FormatError, SettingError
from burnish.core.errors import UnknownClassError

from ..models import Coder, Hooked, Layer, Net, changed, weights


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    with allow_classes(Coder, Hooked, Layer, Net):
        yield


def test_a_blueprint_is_json_and_reads_back_to_the_same_build() -> None:
    blueprint = changed()

    again: Any = Blueprint.from_dict(json.loads(json.dumps(blueprint.to_dict())))

    assert str(again) == str(blueprint)
    assert again.to_dict() == blueprint.to_dict()
    torch.manual_seed(0)
    first = blueprint.create()
    torch.manual_seed(0)
    assert torch.equal(weights(first), weights(again.create()))


def test_calls_are_written_by_name_and_run_again() -> None:
    blueprint = Blueprint(Hooked).widen(5).freeze("x").grow("y").prepare("z")
    Hooked.seen.clear()

    module: Any = Blueprint.from_dict(
        json.loads(json.dumps(blueprint.to_dict()))
    ).build()

    assert module.layers[0].in_features == 5
    assert isinstance(module.act, nn.Tanh)
    assert {moment for moment, _, _ in Hooked.seen} == {
        "stateful",
        "after_build",
        "after_init",
        "before_build",
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d | {"blueprint": 2},
        lambda d: d | {"blueprint": None},
        lambda d: {k: v for k, v in d.items() if k != "blueprint"},
        lambda d: d | {"__module__": "os", "__name__": "system"},
        lambda d: d | {"__name__": "Nothing"},
        lambda d: d | {"arguments": [1]},
        lambda d: d | {"arguments": {"nope": 1}},
        lambda d: d | {"tape": {}},
        lambda d: d | {"tape": [1]},
        lambda d: d | {"tape": [{"do": "exec", "at": ""}]},
        lambda d: d | {"tape": [{"do": "set", "at": 3}]},
        lambda d: d | {"tape": [{"do": "set", "at": "", "arguments": {"nope": 1}}]},
        lambda d: d | {"tape": [{"do": "set", "at": "", "class": {"__class__": 1}}]},
        lambda d: d | {"tape": [{"do": "call", "at": "", "name": "load_state_dict"}]},
        lambda d: d | {"tape": [{"do": "call", "at": "", "name": "__init__"}]},
        lambda d: d | {"tape": [{"do": "style", "at": "", "name": "none"}]},
        lambda d: d | {"tape": [{"do": "insert", "at": "encoder", "key": 0}]},
        lambda d: d | {"tape": [{"do": "insert", "at": "encoder", "key": None}]},
        lambda d: d | {"tape": [{"do": "log_output", "at": "", "keys": [1]}]},
        lambda d: d | {"arguments": {"depth": {"__dtype__": "os"}}},
        lambda d: d | {"arguments": {"depth": {"__partial__": {}}}},
        lambda d: d | {"arguments": {"depth": {"__blueprint__": d | {"blueprint": 9}}}},
        lambda d: d | {"arguments": {"depth": nested(100)}},
        lambda d: 3,
        lambda d: None,
    ],
)
def test_data_that_is_no_blueprint_is_refused(change: Any) -> None:
    data = changed().to_dict()

    with pytest.raises((FormatError, SettingError, UnknownClassError, ValueError)):
        Blueprint.from_dict(change(data))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_another_class_than_the_one_in_hand_is_refused() -> None:
    with pytest.raises(FormatError, match="blueprint of 'Coder', not of Net"):
        Blueprint.from_dict(changed().to_dict(), Net)  # type: ignore[arg-type]  # another class, on purpose


class Repeated(nn.Module):
    """Blocks, of the last of which the constructor asks for the width."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        blocks = [nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks)
        last: Any = self.blocks[-1]
        self.head = nn.Linear(last[0].out_features, 2)


def moved_then_wrapped(bp: Blueprint[Any]) -> None:
    bp.blocks.insert(0, Blueprint(nn.Identity))
    bp.wrap("blocks.1.0", lambda part: Blueprint(nn.Sequential, part))


def moved_then_replaced(bp: Blueprint[Any]) -> None:
    bp.blocks.insert(0, Blueprint(nn.Identity))
    bp.replace("blocks.1.0", nn.Identity)


def replaced_then_meant_by_a_pattern(bp: Blueprint[Any]) -> None:
    bp.replace("blocks.0.1", Blueprint(nn.Linear, 4, 4))
    bp.configure("blocks.*.1", nn.GELU)


@pytest.mark.parametrize(
    "edit",
    [
        moved_then_wrapped,
        moved_then_replaced,
        replaced_then_meant_by_a_pattern,
    ],
)
def test_whatever_can_be_built_can_be_read_from_its_data(edit: Any) -> None:
    with allow_classes(Repeated):
        bp = Blueprint(Repeated)
        edit(bp)

        again: Any = Blueprint.from_dict(bp.to_dict())

        assert str(again) == str(bp)
        assert again.to_dict() == bp.to_dict()
        assert str(again.create()) == str(bp.create())


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_blueprint_of_which_the_whole_was_exchanged_is_one_of_what_it_makes(
    *, is_replaced: bool
) -> None:
    with allow_classes(Repeated):
        bp = Blueprint(Repeated)
        if is_replaced:
            bp.replace("", Blueprint(nn.Linear, 2, 3))
        else:
            bp.configure(nn.Linear, in_features=2, out_features=3)
        module = bp.build()

        data = burnish.save_record(module)
        hparams = burnish.open_record(data).metadata["burnish"]["hparams"]

        linear = burnish.from_hyperparameters(hparams, nn.Linear)
        assert (linear.in_features, linear.out_features) == (2, 3)
        burnish.load_record(nn.Linear(2, 3), data)
        with pytest.raises(FormatError, match="blueprint of 'Repeated', not of ReLU"):
            Blueprint.from_dict(bp.to_dict(), nn.ReLU)


class Mode(enum.Enum):
    FAST = "fast"
    EXACT = "exact"


@burnish.module
class Moded(nn.Module):
    def __init__(self, mode: Mode = Mode.FAST, width: int = 2) -> None:
        super().__init__()
        self.mode, self.layer = mode, nn.Linear(width, width)


@pytest.mark.parametrize("target", ["0", "*", "0, 1"])
def test_an_enum_of_a_part_is_stored_as_the_class_of_the_part_declares(
    target: Any,
) -> None:
    whole = Blueprint(nn.Sequential, Blueprint(Moded, width=3), Blueprint(Moded))
    whole[target].configure(mode=Mode.EXACT)
    record = burnish.open_record(burnish.save_record(whole.create()))

    reopened: Any = Blueprint.from_dict(json.loads(json.dumps(whole.to_dict())))
    net_of_record = burnish.from_hyperparameters(record.metadata["burnish"]["hparams"])

    net: Any
    for net in (reopened.create(), net_of_record):
        assert (net[0].mode, net[0].layer.in_features) == (Mode.EXACT, 3)


def test_an_enum_of_a_part_that_does_not_declare_it_is_refused() -> None:
    whole = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(TypeError, match=r"0.bias: Mode.FAST is read back as 'fast'"):
        whole.configure("0", bias=Mode.FAST).to_dict()
