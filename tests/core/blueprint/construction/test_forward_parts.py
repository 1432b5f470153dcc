import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint, FromLogs, LogTensor, Parallel


class Twice(nn.Module):
    def forward(self, x: Any) -> Any:
        return x, x * 2


class Half(nn.Module):
    def forward(self, x: Any) -> Any:
        return x / 2


class TestParallel:
    def test_without_names_it_returns_a_list_and_with_names_a_dict(self) -> None:
        assert Parallel(Twice(), Half())(2.0) == [(2.0, 4.0), 1.0]
        assert Parallel(a=Half(), b=Half())(2.0) == {"a": 1.0, "b": 1.0}

    def test_items_with_maps_and_names_add_to_a_dict(self) -> None:
        two = Blueprint(Twice).set_input_map("x").set_output_map("x1", "x2")
        one = Blueprint(Half).set_input_map("x")
        net: Any = Blueprint(Parallel, two, x3=one).build()
        inputs = {"x": 2.0}

        assert net(inputs) == {"x": 2.0, "x1": 2.0, "x2": 4.0, "x3": 1.0}
        assert inputs == {"x": 2.0}

    def test_an_item_that_changes_a_value_is_not_undone_by_the_next(self) -> None:
        change = Blueprint(Half).set_input_map("x").set_output_map("x")
        other = Blueprint(Half).set_input_map("x").set_output_map("y")

        net: Any = Blueprint(Parallel, change, other).build()

        assert net({"x": 2.0}) == {"x": 1.0, "y": 1.0}

    def test_its_items_are_configured_inserted_and_stored(self) -> None:
        bp: Blueprint[Any] = Blueprint(Parallel, left=Blueprint(nn.Linear, 2, 2))
        bp.configure("left", bias=False).insert("right", Blueprint(nn.ReLU))

        read: Blueprint[Any] = Blueprint.from_dict(json.loads(json.dumps(bp.to_dict())))

        assert [*read.create()] == ["left", "right"]
        assert read.create().left.bias is None

    def test_what_it_cannot_return_is_refused(self) -> None:
        with pytest.raises(ValueError, match="name all of them or none"):
            Parallel(Half(), b=Half())(2.0)
        with pytest.raises(ValueError, match="item 0 does not return a dict"):
            Parallel(Length())({"x": 1})


class Length(nn.Module):
    def forward(self, x: Any) -> int:
        return len(x)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.log = LogTensor("mask")
        self.back = FromLogs("mask")

    def forward(self, x: Tensor) -> Any:
        self.log(x > 0)
        return self.layer(x), self.back()


class TestLogs:
    def test_a_tensor_is_logged_on_the_whole_and_read_elsewhere(self) -> None:
        net: Any = Blueprint(nn.Sequential, Blueprint(Masked)).build()

        _, mask = net(torch.tensor([[1.0, -1.0]]))

        assert mask.tolist() == [[True, False]]
        assert net.logs["mask"] is mask

    def test_what_a_hook_logged_is_read_in_another_part(self) -> None:
        bp = Blueprint(nn.Sequential, Blueprint(nn.ReLU), Blueprint(nn.Tanh))
        bp[0].log_output("relu")
        bp.append(Blueprint(FromLogs, "relu"))

        assert bp.create()(torch.tensor(-1.0)).item() == 0.0

    def test_copies_have_logs_of_their_own(self) -> None:
        net: Any = Blueprint(Masked).build()
        net(torch.ones(1, 2))

        again = copy.deepcopy(net)
        again(-torch.ones(1, 2))

        assert net.logs["mask"].all()
        assert not again.logs["mask"].any()

    def test_by_hand_nothing_is_logged_and_reading_says_so(self) -> None:
        assert LogTensor("a")(3) == 3
        with pytest.raises(KeyError, match=r"nothing is logged as 'a' yet.*nothing"):
            FromLogs("a")()
