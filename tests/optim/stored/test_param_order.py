"""A state follows the name of its parameter where the order is another one."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import LBFGS, AdamW, Group
from burnish.optim.stored.param_order import in_order_of
from burnish.records import RecordMismatchError

CURE = "Do this."


def state_dict(*groups: list[int]) -> dict[str, Any]:
    return {"state": {}, "param_groups": [{"params": group} for group in groups]}


def numbers(names: Any, stored_names: Any, *groups: list[int]) -> list[list[int]]:
    ordered = in_order_of(names, stored_names, (), state_dict(*groups), "file", CURE)
    return [group["params"] for group in ordered["param_groups"]]


@pytest.mark.parametrize(
    ("names", "stored_names"),
    [
        ([["a", "b", "c"]], [["a", "b", "c"]]),
        ([["x", "y", "z"]], [["a", "b", "c"]]),
        ([["a", "y", "c"]], [["a", "b", "c"]]),
        ([["a", "", "c"]], [["a", "b", "c"]]),
        ([["c", "a"]], [["a", "b", "c"]]),
        ([["a"], ["b", "c"]], [["a", "b", "c"]]),
    ],
)
def test_numbers_stay_where_no_name_has_two(names: Any, stored_names: Any) -> None:
    given = state_dict([0, 1, 2])

    assert in_order_of(names, stored_names, (), given, "file", CURE) is given


def test_names_of_other_groups_than_those_of_the_state_dict_are_none_of_its() -> None:
    given = state_dict([0, 1, 2])

    assert in_order_of([["a", "b"]], [["b", "a"]], (), given, "file", CURE) is given


def test_states_follow_their_names_within_a_group() -> None:
    stored_names = [["a", "b"], ["c", "d", "", ""]]

    assert numbers([["b", "a"], ["", "d", "", "c"]], stored_names, [0, 1], [7, 3, 4, 5])
    assert numbers(
        [["b", "a"], ["", "d", "", "c"]], stored_names, [0, 1], [7, 3, 4, 5]
    ) == [[1, 0], [4, 3, 5, 7]]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([["a", "c"], ["b"]], "b: was number 1 of group 0 when saved, and is number 0"),
        ([["b", "x"], ["c"]], "b: was number 1 of group 0 when saved, and is number 0"),
    ],
)
def test_a_state_that_would_come_to_another_parameter_is_refused(
    names: Any, problem: str
) -> None:
    with pytest.raises(RecordMismatchError, match=problem) as caught:
        numbers(names, [["a", "b"], ["c"]], [0, 1], [2])

    assert str(caught.value).endswith(CURE)


def test_a_parameter_that_is_there_and_no_longer_stepped_was_not_renamed() -> None:
    names, stored_names, present = [["c", "b"]], [["a", "b"]], {"a", "b", "c"}

    with pytest.raises(
        RecordMismatchError, match=r"a: was number 0 of group 0 .* not in"
    ):
        in_order_of(names, stored_names, present, state_dict([0, 1]), "file", CURE)


class Ordered(nn.Module):
    def __init__(self, names: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(2, 2))

    def grads(self) -> None:
        for name, param in self.named_parameters():
            param.grad = torch.full_like(param, float(ord(name[0])))


def moments(net: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    return {
        name: optimizer.state[param]["exp_avg"]
        for name, param in net.named_parameters()
    }


def stepped(net: Ordered, optimizer: Any) -> Any:
    net.grads()
    optimizer.step()
    return optimizer


def test_a_state_dict_of_ours_follows_the_names_of_a_module_in_another_order() -> None:
    old, net = Ordered("abc"), Ordered("cab")
    theirs = stepped(old, AdamW().bind(old, lr=0.1))
    saved, expected = theirs.state_dict(), moments(old, theirs)
    before = copy.deepcopy(saved)
    optimizer = AdamW().bind(net, lr=0.1)

    optimizer.load_state_dict(saved)

    for name, moment in moments(net, optimizer).items():
        assert torch.equal(moment, expected[name])
    assert saved["param_groups"] == before["param_groups"]


def test_one_of_torch_with_names_is_followed_as_well() -> None:
    old, net = Ordered("abc"), Ordered("cab")
    theirs = torch.optim.AdamW([*old.named_parameters()])
    optimizer = AdamW().bind(net, lr=0.1)

    optimizer.load_state_dict(stepped(old, theirs).state_dict())

    expected = moments(old, theirs)
    for name, moment in moments(net, optimizer).items():
        assert torch.equal(moment, expected[name])


def test_other_groups_are_refused_and_the_optimizer_is_as_it_was() -> None:
    old, net = Ordered("ab"), Ordered("ab")
    saved = stepped(old, AdamW().bind(old, lr=0.1, groups=[Group("a.**", lr=0.5)]))
    optimizer = AdamW().bind(net, lr=0.1, groups=[Group("b.**", lr=0.5)])

    with pytest.raises(RecordMismatchError, match=r"b\.weight: was number 0 of group"):
        optimizer.load_state_dict(saved.state_dict())

    assert not optimizer.state
    optimizer.load_record(saved.save_record())
    weight = moments(net, optimizer)["b.weight"]
    assert torch.equal(weight, moments(old, saved)["b.weight"])


def test_names_that_were_taken_out_let_numbers_decide() -> None:
    old, net = Ordered("abc"), Ordered("bcd")
    theirs = stepped(old, AdamW().bind(old, lr=0.1))
    saved, optimizer = theirs.state_dict(), AdamW().bind(net, lr=0.1)

    with pytest.raises(RecordMismatchError, match="remove 'layout'"):
        optimizer.load_state_dict(saved)
    del saved["param_groups"][0]["layout"]
    optimizer.load_state_dict(saved)

    weight = moments(net, optimizer)["b.weight"]
    assert torch.equal(weight, moments(old, theirs)["a.weight"])


@pytest.mark.parametrize("names", ["ba", "ac"])
def test_lbfgs_refuses_a_state_dict_of_parameters_in_another_order(names: str) -> None:
    old, net = Ordered("ab"), Ordered(names)
    saved, optimizer = LBFGS().bind(old, lr=0.1), LBFGS().bind(net, lr=0.1)

    def loss() -> Tensor:
        saved.zero_grad()
        loss = sum(p.square().sum() for p in old.parameters())
        assert isinstance(loss, Tensor)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's has no types
        return loss

    saved.step(loss)  # type: ignore[no-untyped-call]  # torch's has no types
    again = LBFGS().bind(old, lr=0.1)
    again.load_state_dict(copy.deepcopy(saved.state_dict()))

    with pytest.raises(RecordMismatchError, match="LBFGS steps all parameters tog"):
        optimizer.load_state_dict(saved.state_dict())
    assert not optimizer.state
    assert [*again.state_dict()["param_groups"][0]] == [
        *saved.state_dict()["param_groups"][0]
    ]
    assert "layout" not in again.param_groups[0]
