"""State dicts of optimizers follow the rules of their modules' classes."""

import copy
from typing import Any

import pytest
import torch

from burnish.optim import SGD, AdamW, Group
from burnish.records import RecordMismatchError

from .upgrades import CHANGES, from_the_start, grads_of, step, trained


@pytest.mark.parametrize("rule", CHANGES)
def test_the_next_step_is_that_of_a_network_of_the_new_shape(rule: str) -> None:
    change = CHANGES[rule]
    old, old_optimizer = trained(change, AdamW(amsgrad=True))
    twin, twin_optimizer = from_the_start(change, AdamW(amsgrad=True), 3)
    net = change.new_class()()
    net.load_state_dict(change.as_new(old.state_dict()))
    optimizer = AdamW(amsgrad=True).bind(net, lr=0.5)

    optimizer.load_state_dict(old_optimizer.state_dict())
    grads = change.as_new(grads_of(old, 3))
    step(net, optimizer, grads)
    step(twin, twin_optimizer, grads)

    for value, expected in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(value, expected)
    assert "layout" not in optimizer.param_groups[0]


def test_groups_keep_their_hyperparameters_and_take_the_pieces() -> None:
    change = CHANGES["split"]
    old = change.old_net()
    old_optimizer = AdamW().bind(
        old, lr=0.1, groups=[Group("b", optimizer=SGD(momentum=0.9), lr=0.3)]
    )
    step(old, old_optimizer, grads_of(old, 0))
    net = change.new_class()()
    optimizer = AdamW().bind(
        net, lr=1.0, groups=[Group("b", optimizer=SGD(momentum=0.9), lr=2.0)]
    )

    optimizer.load_state_dict(old_optimizer.state_dict())

    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.3]
    assert len(optimizer.state) == 4
    moments = [optimizer.state[p]["exp_avg"] for p in (net.q, net.k, net.v)]
    assert torch.equal(torch.cat(moments), old_optimizer.state[old.qkv]["exp_avg"])


def test_what_begins_anew_is_warned_of() -> None:
    change = CHANGES["merge"]
    old, old_optimizer = trained(change, AdamW(), 0)
    grads = grads_of(old, 0)
    del grads["k"]
    step(old, old_optimizer, grads)
    net = change.new_class()()
    optimizer = AdamW().bind(net, lr=0.1)

    with pytest.warns(
        RuntimeWarning, match="qk: built from q, k; its state starts from scratch"
    ):
        optimizer.load_state_dict(old_optimizer.state_dict())

    assert [*optimizer.state] == [net.b]


def test_a_state_dict_loads_as_text_and_tensors_alone(tmp_path: Any) -> None:
    change = CHANGES["split"]
    _, old_optimizer = trained(change, AdamW())
    torch.save(old_optimizer.state_dict(), tmp_path / "optim.pt")
    optimizer = AdamW().bind(change.new_class()(), lr=0.1)

    optimizer.load_state_dict(torch.load(tmp_path / "optim.pt", weights_only=True))

    assert len(optimizer.state) == 4


@pytest.mark.parametrize(
    "text", ["no JSON", "{}", "3", '{"module": {}, "paths": [["a"]]}', '{"paths": 3}']
)
def test_a_layout_that_is_none_changes_nothing(text: str) -> None:
    change = CHANGES["split"]
    _, old_optimizer = trained(change, AdamW())
    state_dict = copy.deepcopy(old_optimizer.state_dict())
    state_dict["param_groups"][0]["layout"] = text
    optimizer = AdamW().bind(change.new_class()(), lr=0.1)

    with pytest.raises(RecordMismatchError, match="expected the paths of parameters"):
        optimizer.load_state_dict(state_dict)

    assert not optimizer.state


def test_a_state_dict_of_the_same_version_is_matched_by_number() -> None:
    change = CHANGES["split"]
    _, old_optimizer = trained(change, AdamW())
    state_dict = old_optimizer.state_dict()
    again = AdamW().bind(change.old_net(), lr=0.1)

    again.load_state_dict(state_dict)

    assert len(again.state) == 2
