import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core import allow_classes
from burnish.core.blueprint import Blueprint
from burnish.core.hyperparameters.reader import from_hyperparameters

from .... import fresh_processes
from ..models import Coder, Hooked, Layer, Net, changed, weights


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    with allow_classes(Coder, Hooked, Layer, Net):
        yield


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
        done = fresh_processes.run(script, tmp_path, do, check=True)

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


@pytest.mark.parametrize("is_inside", [False, True])
def test_a_layer_of_torch_is_told_by_its_blueprint_where_no_arguments_make_it(
    is_inside: bool,
) -> None:
    blueprint: Any = Blueprint(nn.TransformerEncoderLayer, 8, 2, 16, batch_first=True)
    if is_inside:
        blueprint = Blueprint(nn.Sequential, blueprint)
    blueprint.configure("**.norm1", nn.Identity)
    module = blueprint.build()

    hparams = burnish.get_hparams(module)
    record = burnish.save_record(module)
    assert record is not None
    again = burnish.from_record(lambda: from_hyperparameters(hparams), record)

    assert repr(again) == repr(module)
    assert torch.equal(weights(again), weights(module))
