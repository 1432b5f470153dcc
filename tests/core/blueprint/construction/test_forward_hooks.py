import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint

from ..models import Coder, Hooked


@pytest.fixture(autouse=True)
def forget() -> None:
    Hooked.seen.clear()


def test_inputs_and_outputs_are_logged_on_the_root() -> None:
    blueprint = Blueprint(Coder, depth=1)
    blueprint.encoder[0].log_input("in").log_output("out")
    module: Any = blueprint.build()
    x = torch.ones(2, 4)
    module(x)

    assert torch.equal(module.logs["in"], x)
    assert torch.equal(module.logs["out"], module.encoder[0](x))
    again = copy.deepcopy(module)
    again(x * 2)
    assert torch.equal(again.logs["in"], x * 2)
    assert torch.equal(module.logs["in"], x)


def test_logs_are_on_the_root_of_the_larger_module_too() -> None:
    inner = Blueprint(Coder, depth=1)
    inner.encoder[0].log_output("out")
    module: Any = Blueprint(nn.Sequential, inner, Blueprint(nn.ReLU)).build()
    wrapped: Any = nn.Sequential(inner.create())
    x = torch.ones(1, 4)

    module(x)
    wrapped(x)

    assert module.logs["out"].shape == (1, 4)
    assert wrapped[0].logs["out"].shape == (1, 4)


def test_without_logs_no_hook_and_no_attribute_is_added() -> None:
    module = Blueprint(Coder).build()

    assert not hasattr(module, "logs")
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    assert not any(getattr(m, name) for m in module.modules() for name in hooks)


def test_a_dict_goes_in_and_a_larger_one_comes_out() -> None:
    blueprint = Blueprint(nn.Linear, 4, 2)
    blueprint.set_input_map("x").set_output_map("y", first=0)
    module = blueprint.build()
    given = {"x": torch.ones(3, 4)}

    result: Any = module(given)

    assert list(given) == ["x"]
    assert list(result) == ["x", "y", "first"]
    assert torch.equal(result["y"], module(given["x"]))
    assert result["first"] is result["y"]


class Parallel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(2, 2), nn.Linear(2, 3)

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**self.left(given), **self.right(given)}


def test_parallel_branches_merge() -> None:
    blueprint = Blueprint(Parallel)
    blueprint.left.set_input_map("x").set_output_map("l")
    blueprint.right.set_input_map(input="x").set_output_map("r")
    module = blueprint.build()
    result = module({"x": torch.ones(1, 2)})

    assert list(result) == ["x", "l", "r"]
    assert result["r"].shape == (1, 3)


def test_a_missing_input_names_those_there_are_and_later_calls_work() -> None:
    module: Any = Blueprint(nn.Linear, 2, 2).set_input_map("x").build()

    with pytest.raises(KeyError, match=r"no input 'x'.*\['z'\]"):
        module({"z": torch.ones(1, 2)})
    assert module({"x": torch.ones(1, 2)}).shape == (1, 2)


class Scale(nn.Module):
    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        return x * a


class TestMapsInsideOfAModuleThatGotADict:
    def test_an_output_of_a_part_comes_out_beside_that_of_the_whole(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.ReLU), Blueprint(nn.Tanh))
        bp.set_input_map("x").set_output_map("x")
        bp[0].set_output_map("x0", same=0)

        result = bp.create()({"x": torch.tensor([-1.0, 1.0])})

        assert [*result] == ["x", "x0", "same"]
        assert result["x0"].tolist() == result["same"].tolist() == [0.0, 1.0]
        assert torch.equal(result["x"], torch.tanh(result["x0"]))

    def test_a_part_gets_what_is_passed_and_more_from_the_dict(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.ReLU), Blueprint(Scale))
        bp.set_input_map("x").set_output_map("y")
        bp[1].set_input_map("x", "a")

        result = bp.create()({"x": torch.tensor([-1.0, 2.0]), "a": torch.tensor(3.0)})

        assert result["y"].tolist() == [0.0, 6.0]

    def test_what_a_part_added_is_an_input_of_the_next(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.ReLU), Blueprint(Scale))
        bp.set_input_map("x").set_output_map("y")
        bp[0].set_output_map("relu")
        bp[1].set_input_map(a="relu")

        assert bp.create()({"x": torch.tensor(3.0)})["y"].item() == 9.0

    def test_without_a_dict_maps_inside_do_nothing(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.ReLU))
        bp.set_input_map("x").set_output_map("x")[0].set_output_map("x0")
        net = bp.create()

        with pytest.raises(KeyError, match="no input 'x'"):
            net({"z": torch.ones(1)})

        assert net(torch.ones(1)).tolist() == [1.0]

    def test_an_input_that_is_not_there_names_those_there_are(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(Scale)).set_input_map("x")
        bp[0].set_input_map("x", "b")

        with pytest.raises(KeyError, match=r"no input 'b'; the dict has \['x'\]"):
            bp.create()({"x": torch.ones(1)})
