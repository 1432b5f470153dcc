import copy
import functools
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core import allow_classes
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import FormatError, SettingError
from burnish.core.errors import UnknownClassError

from .models import Coder, Hooked, Layer, Net, weights


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    with allow_classes(Coder, Hooked, Layer, Net):
        yield


def changed() -> Blueprint[Coder]:
    blueprint = Blueprint(Coder, depth=2)
    blueprint.configure("**.activation", nn.LeakyReLU, negative_slope=float("inf"))
    blueprint.configure("encoder.0.activation", functools.partial(nn.ELU, alpha=2.0))
    blueprint.encoder.append(Blueprint(Layer, width=4).configure("layer", bias=False))
    blueprint.encoder.pop(0)
    blueprint["encoder|decoder", 0].log_output("x")
    blueprint["decoder.0"].set_input_map("x").set_output_map("y", z=0)
    return blueprint


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
    "value",
    [
        (3, 3),
        [1, (2, [3])],
        {"a": 1, "b": (1,)},
        {1: "x"},
        {"__tuple__": [1]},
        float("inf"),
        torch.float16,
        torch.device("cpu"),
        nn.GELU,
        Path("a/b"),
        {1, 2},
        None,
        True,
        "text",
    ],
)
def test_every_plain_value_comes_back_as_it_was(value: Any) -> None:
    class Anything(nn.Module):
        def __init__(self, value: Any = None) -> None:
            super().__init__()
            self.value = value

    with allow_classes(Anything):
        data = json.loads(json.dumps(Blueprint(Anything, value).to_dict()))
        found = Blueprint.from_dict(data, Anything).build().value

    assert found == value
    assert type(found) is type(value)


def test_what_is_no_plain_data_is_named() -> None:
    blueprint = Blueprint(Net, act=nn.ReLU)
    blueprint.configure("blocks.0.1", nn.Threshold, threshold=0.1, value=0.0)

    assert blueprint.to_dict()
    with pytest.raises(TypeError, match=r"act: .*no plain data"):
        Blueprint(Net, act=lambda: nn.ReLU()).to_dict()


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


def test_blueprints_and_what_they_built_copy_and_pickle() -> None:
    blueprint = changed()
    module = blueprint.create()

    again = pickle.loads(pickle.dumps(blueprint))
    assert str(again) == str(blueprint) == str(copy.deepcopy(blueprint))
    unpickled = pickle.loads(pickle.dumps(module))
    assert torch.equal(weights(unpickled), weights(module))
    assert torch.equal(weights(copy.deepcopy(module)), weights(module))


SCRIPT = """
import sys
import torch
from torch import nn
import burnish


@burnish.module
class Model(nn.Module):
    def __init__(self, width: int = 4, act: type[nn.Module] = nn.ReLU):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, width), act(), nn.Linear(width, 2))

    def forward(self, x):
        return self.net(x)


@burnish.module
class Other(nn.Module):
    pass


folder = sys.argv[1]
x = torch.ones(1, 3)
if sys.argv[2] == "write":
    blueprint = Model.blueprint(width=6).configure("net.1", nn.Tanh)
    model = blueprint.configure("net.2", bias=False).build()
    model.save_pretrained(folder)
    model.save_record(folder + "/net.mpk")
    torch.save(model(x).detach(), folder + "/y.pt")
else:
    y = torch.load(folder + "/y.pt")
    models = [Model.from_pretrained(folder), Model.from_record(folder + "/net.mpk")]
    for model in models:
        assert isinstance(model.net[1], nn.Tanh), model
        assert model.net[2].bias is None and model.net[0].out_features == 6
        assert torch.equal(model(x), y)
    try:
        Other.from_pretrained(folder)
    except Exception as error:
        print("refused:", type(error).__name__)
"""


def test_a_checkpoint_reopens_in_a_fresh_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    for do in ("write", "read"):
        command = [sys.executable, str(script), str(tmp_path), do]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    assert "refused: " in done.stdout


def test_a_module_of_an_undecorated_class_tells_its_blueprint_too() -> None:
    module = Blueprint(Coder, depth=1).configure("**.activation", nn.Tanh).build()

    again = burnish.core.from_hyperparameters(burnish.core.get_hparams(module))

    assert isinstance(again.encoder[0].activation, nn.Tanh)  # type: ignore[union-attr, index]  # a layer


def test_sizes_that_an_example_told_are_part_of_the_checkpoint() -> None:
    blueprint: Any = Blueprint(nn.Sequential, Blueprint(nn.Linear, None, 2))
    module = blueprint.create(torch.zeros(1, 5))

    again: Any = burnish.core.from_hyperparameters(burnish.core.get_hparams(module))

    assert again[0].in_features == 5
