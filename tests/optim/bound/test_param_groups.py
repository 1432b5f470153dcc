"""What belongs to a group lives in the group, whatever is done to their list."""

import enum
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    SGD,
    AdamW,
    ClipValue,
    Group,
    Muon,
    OptimizerAdaptor,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)
from burnish.optim.schedulers import Constant, Cosine, Linear, Warmup

from ..nets import Net, drive, equal, layers, plist, set_grads, values


def three_groups(net: nn.Module) -> OptimizerAdaptor:
    """Bind three groups that differ in all that a group can."""
    return SGD(momentum=0.5).bind(
        net,
        lr=Linear(1e-1, 1e-2, 10),
        groups=[
            Group("0.weight", momentum=0.9, lr=Constant(0.25)),
            Group(
                "2.**", optimizer=AdamW(weight_decay=0.3), lr=0.5, clip=ClipValue(1.0)
            ),
        ],
    )


EDITS: dict[str, Callable[[list[Any]], list[int]]] = {
    "the first deleted": lambda groups: [1, 2],
    "the middle deleted": lambda groups: [0, 2],
    "turned round": lambda groups: [2, 1, 0],
    "copied": lambda groups: [0, 1, 2],
}


@pytest.mark.parametrize("name", EDITS)
def test_groups_keep_what_is_theirs_when_their_list_is_edited(name: str) -> None:
    left, right = layers(), layers()
    edited, whole = three_groups(left), three_groups(right)
    order = EDITS[name](edited.param_groups)
    edited.param_groups[:] = [dict(edited.param_groups[i]) for i in order]
    stepped = {id(p) for g in edited.param_groups for p in g["params"]}
    before = values(left)

    drive(edited, left, 1, 2)
    drive(whole, right, 1, 2)

    pairs = zip(left.parameters(), right.parameters(), before, strict=True)
    for ours, theirs, start in pairs:
        assert torch.equal(ours, theirs if id(ours) in stepped else start)


def test_a_state_dict_after_an_edit_is_that_of_the_groups_that_are_left() -> None:
    net = layers()
    adaptor = three_groups(net)
    drive(adaptor, net, 1)

    del adaptor.param_groups[0]
    groups = adaptor.state_dict()["param_groups"]

    assert [group["kind"] for group in groups] == ["SGD", "AdamW"]
    assert '"Constant"' in groups[0]["schedule"]
    assert '"ClipValue"' in groups[1]["clip"]


class Norm(enum.Enum):
    L1 = 1
    L2 = 2


@dataclass(frozen=True, kw_only=True)
class Normed(SimpleOptimizer[None]):
    """Has hyperparameters that are not plain data."""

    norm: Norm = Norm.L2
    shape: Callable[[float], float] = abs

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        return tensor - grad * lr * self.shape(self.norm.value), None


def test_a_state_dict_is_read_with_weights_only() -> None:
    net = layers()
    adaptor = three_groups(net)
    adaptor.add_param_group({"params": [], "optimizer": Normed(norm=Norm.L1)})
    drive(adaptor, net, 1, 2)
    file = io.BytesIO()

    torch.save(adaptor.state_dict(), file)
    file.seek(0)
    stored = torch.load(file, weights_only=True)
    again = three_groups(layers())
    again.add_param_group({"params": [], "optimizer": Normed()})
    again.load_state_dict(stored)

    assert again.param_groups[0]["schedule"].position() == 2
    assert again.param_groups[2]["clip"] == ClipValue(1.0)
    assert again.param_groups[3]["norm"] is Norm.L1
    assert again.param_groups[3]["shape"] is abs


def test_a_group_that_is_added_follows_the_schedule_of_the_optimizer() -> None:
    net = plist(torch.ones(3), torch.ones(3))
    late = nn.Parameter(torch.ones(3))
    adaptor = SGD().bind(net, lr=Warmup([Cosine(0.1, 100)], n_warmup=4))

    adaptor.add_param_group({"params": [late]})
    for _ in range(3):
        set_grads(net, 1)
        late.grad = torch.ones(3)
        adaptor.step()

    assert adaptor.param_groups[1]["lr"] == adaptor.param_groups[0]["lr"] > 0
    assert adaptor.param_groups[0]["schedule"].position() == 3


def test_a_group_that_is_added_may_have_a_schedule_of_its_own() -> None:
    adaptor = SGD().bind(plist(torch.ones(3)), lr=0.5)
    late = nn.Parameter(torch.ones(3))

    adaptor.add_param_group({"params": [late], "lr": Linear(0.4, 0.2, 2)})
    for _ in range(2):
        late.grad = torch.ones(3)
        adaptor.step()

    assert adaptor.param_groups[1]["lr"] == pytest.approx(0.3)
    assert adaptor.param_groups[0]["lr"] == 0.5


ADDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "out of range": ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
    "of another type": ({"amsgrad": "no"}, "must be a bool, got 'no'"),
    "no optimizer": ({"optimizer": "adam"}, r"steps one tensor, got str: \{'params'"),
    "no clip": ({"clip": 1.0}, "clip must be a ClipValue"),
    "no state": ({"optimizer": Muon()}, "Muon steps matrices only"),
}


@pytest.mark.parametrize("name", ADDITIONS)
def test_a_group_that_no_step_would_take_is_not_added(name: str) -> None:
    options, words = ADDITIONS[name]
    net = layers()
    adaptor = AdamW().bind(net, lr=0.1)
    late = nn.Parameter(torch.ones(3))

    with pytest.raises((TypeError, ValueError), match=words):
        adaptor.add_param_group({"params": late, **options})

    assert len(adaptor.param_groups) == 1
    drive(adaptor, net, 1)


def test_a_parameter_that_stands_twice_in_a_group_is_refused() -> None:
    adaptor = SGD(momentum=0.9).bind(layers(), lr=0.1)
    late = nn.Parameter(torch.ones(3))

    with pytest.raises(ValueError, match=r"of shape \(3,\) is in the group twice"):
        adaptor.add_param_group({"params": [late, late]})

    assert len(adaptor.param_groups) == 1


@pytest.mark.parametrize("parameter", [False, True])
def test_what_is_no_parameter_of_the_module_is_stepped_saved_and_loaded(
    parameter: bool,
) -> None:
    def bound() -> tuple[OptimizerAdaptor, Tensor]:
        late = torch.ones(3, requires_grad=True)
        late = nn.Parameter(late.detach()) if parameter else late
        adaptor = AdamW().bind(plist(torch.ones(2)), lr=0.1)
        adaptor.add_param_group({"params": [late]})
        return adaptor, late

    def step(adaptor: OptimizerAdaptor, late: Tensor) -> None:
        late.grad = torch.tensor([1.0, 2.0, -3.0])
        adaptor.step()

    first, tensor = bound()
    step(first, tensor)
    again, other = bound()
    other.data.copy_(tensor.detach())
    report = again.load_record(first.save_record())
    step(first, tensor)
    step(again, other)

    assert report.loaded == ["param_1"]
    assert torch.equal(tensor, other)


def test_a_state_dict_knows_that_weights_stand_where_they_are_evaluated() -> None:
    left, right = Net(large=False), Net(large=False)
    first = ScheduleFreeAdamW().bind(left, lr=0.1)
    second = ScheduleFreeAdamW().bind(right, lr=0.1)
    drive(first, left, 1, 2)
    drive(second, right, 5)
    first.eval()

    right.load_state_dict(left.state_dict())
    second.load_state_dict(first.state_dict())
    with pytest.raises(RuntimeError, match=r"optim\.train"):
        second.step()
    first.train()
    second.train()
    drive(first, left, 3)
    drive(second, right, 3)

    assert equal(left, right)


@dataclass(frozen=True, eq=False)
class Weighted(SimpleOptimizer[None]):
    """Scales gradients by a tensor that is a hyperparameter."""

    weights: Any

    def init(self, tensor: Tensor) -> None:
        return None

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: None
    ) -> tuple[Tensor, None]:
        return tensor - lr * grad * self.weights, None


def test_a_hyperparameter_that_is_a_tensor_outlives_a_state_dict() -> None:
    net = nn.Linear(2, 3, bias=False)
    optim = Weighted(weights=torch.tensor([1.0, 2.0])).bind(net, lr=1.0)
    net.weight.grad = torch.ones(3, 2)
    before = net.weight.detach().clone()

    optim.step()
    optim.load_state_dict(optim.state_dict())
    optim.step()

    expected = before - 2 * torch.tensor([1.0, 2.0])
    torch.testing.assert_close(net.weight.detach(), expected)


def test_a_schedule_that_two_optimizers_advance_is_warned_of_once() -> None:
    nets, schedule = [layers(), layers()], Cosine(0.1, 10)
    first, second = (SGD().bind(net, lr=schedule) for net in nets)

    drive(first, nets[0], 0)
    with pytest.warns(RuntimeWarning, match=r"two optimizers share one schedule \(Cos"):
        drive(second, nets[1], 0)

    drive(first, nets[0], 1)
    drive(second, nets[1], 1)


def test_a_schedule_may_go_on_with_the_next_optimizer() -> None:
    net, schedule = layers(), Cosine(0.1, 10)
    drive(SGD().bind(net, lr=schedule), net, 0)

    drive(AdamW().bind(net, lr=schedule), net, 1)

    assert schedule.n_steps == 2
