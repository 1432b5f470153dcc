"""Parameters of selected parts are filled when the module is built."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import FormatError, SettingError

from ..models import Coder


def values_of(tensor: Tensor) -> list[float]:
    return sorted(set(tensor.flatten().tolist()))


class TestInitialize:
    def test_selected_parts_and_all_inside_get_the_values(self) -> None:
        bp = Blueprint(Coder, depth=2)
        bp.isinstance(nn.Linear).initialize(nn.init.constant_, 0.5)
        bp.encoder.initialize(nn.init.ones_, tensors=("weight", "bias"))

        state = bp.create().state_dict()

        assert values_of(state["decoder.1.layer.weight"]) == [0.5]
        assert values_of(state["encoder.1.layer.weight"]) == [1.0]
        assert values_of(state["encoder.1.layer.bias"]) == [1.0]
        assert len(values_of(state["decoder.1.layer.bias"])) > 1

    def test_the_same_seed_gives_the_same_values_in_any_order(self) -> None:
        states = []
        for names in (["encoder", "decoder"], ["decoder", "encoder"]):
            bp = Blueprint(Coder, depth=2)
            for name in names:
                bp[name].initialize(nn.init.kaiming_normal_, nonlinearity="relu")
            torch.manual_seed(0)
            states.append(bp.create().state_dict())

        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_a_pattern_means_what_comes_later_too(self) -> None:
        bp = Blueprint(Coder, depth=1)
        bp["**.layer"].initialize(nn.init.zeros_)

        state = bp.configure(depth=3).create().state_dict()

        assert not state["encoder.2.layer.weight"].any()

    def test_it_is_data_in_which_functions_are_those_of_torch(self) -> None:
        bp = Blueprint(nn.Linear, 2, 2).initialize(nn.init.constant_, 3.0)
        own = Blueprint(nn.Linear, 2, 2).initialize(lambda tensor: tensor.fill_(4.0))

        data = json.loads(json.dumps(bp.to_dict()))

        read: Any = Blueprint.from_dict(data)
        assert values_of(read.create().weight) == [3.0]
        assert values_of(bp.new().create().weight) == [3.0]
        assert values_of(own.create().weight) == [4.0]
        with pytest.raises(
            TypeError, match=r"^Linear: .* only those of torch\.nn\.init"
        ):
            own.to_dict()
        data["tape"][0]["name"] = "__loader__"
        with pytest.raises(FormatError, match="no initializer '__loader__'"):
            Blueprint.from_dict(data)

    @pytest.mark.parametrize(
        ("path", "names", "message"),
        [
            ("encoder.0.activation", "weight", r"^encoder.0.activation: .*are none"),
            (
                "",
                "wieght",
                r"'wieght' is not the name of a parameter.*'bias', 'weight'",
            ),
            ("", ("weight", "baias"), "'baias' is not the name of a parameter"),
            ("", (), "it matches no parameter"),
            ("encoder", "0.layer.weight", "'0.layer.weight' is not the name of a"),
            ("**.activation", "weight", "'weight' is not the name of a parameter"),
            ("nowhere", "weight", "no module is constructed at this path"),
        ],
    )
    def test_what_means_no_parameter_is_refused_at_once(
        self, path: str, names: Any, message: str
    ) -> None:
        bp = Blueprint(Coder, depth=1)

        with pytest.raises(SettingError, match=message):
            bp[path].initialize(nn.init.zeros_, tensors=names)

        assert bp.create()

    def test_parameters_are_those_after_the_edits_before(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2), Blueprint(nn.ReLU))
        bp["0"].configure(bias=False)
        alone = Blueprint(nn.Linear, 2, 2).configure(bias=False)

        for blueprint in (bp, alone):
            with pytest.raises(
                SettingError, match="'bias' is not the name of a parameter"
            ):
                blueprint.initialize(nn.init.zeros_, tensors="bias")

    def test_of_a_part_that_is_exchanged_later_nothing_is_filled(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))
        bp["0"].initialize(nn.init.zeros_)

        bp.replace("0", nn.Tanh)

        assert bp.create()
        assert Blueprint.from_dict(bp.to_dict()).create()

    def test_what_lacks_arguments_is_checked_by_the_build(self) -> None:
        bp = Blueprint(nn.Linear).initialize(nn.init.zeros_, tensors="wieght")

        with pytest.raises(SettingError, match="matches no parameter"):
            bp.configure(in_features=2, out_features=2).create()

    def test_no_function_is_refused_at_once(self) -> None:
        with pytest.raises(TypeError, match=r"of torch\.nn\.init, got 'zeros_'"):
            Blueprint(nn.Linear, 2, 2).initialize("zeros_")  # type: ignore[arg-type]  # no function

    def test_arguments_that_it_does_not_take_are_refused_at_once(self) -> None:
        bp = Blueprint(nn.Linear, 2, 2)
        calls: list[tuple[Any, Any]]
        calls = [(("weight",), {}), ((), {"targets": nn.Linear})]

        for args, kwargs in calls:
            with pytest.raises(TypeError, match="select parts first"):
                bp.initialize(nn.init.zeros_, *args, **kwargs)

        assert bp.create()

    def test_what_it_raises_comes_with_the_parameter(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))
        bp.initialize(nn.init.kaiming_normal_, tensors=("weight", "bias"))

        with pytest.raises(SettingError) as refused:
            bp.create()

        assert str(refused.value).startswith("0.bias: initialize(kaiming_normal_")
        assert "raised ValueError: Fan in" in str(refused.value)
        assert "a parameter of (2,)" in str(refused.value)
