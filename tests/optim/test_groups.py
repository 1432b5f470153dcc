"""Groups by pattern and type: every parameter in one, stepped once."""

import copy
import pickle
import re
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import (
    NORMS,
    SGD,
    AdamW,
    Gradients,
    Group,
    Lion,
    SimpleOptimizer,
)

from .nets import distance, drive, layers, plist, tree


def placed(adaptor: Any) -> dict[str, int]:
    return {
        adaptor._bound.params.path_of(p): i
        for i, group in enumerate(adaptor.param_groups)
        for p in group["params"]
    }


def test_every_parameter_is_in_the_last_group_that_matches_it() -> None:
    groups = [
        Group("**.bias", weight_decay=0.0),
        Group(type=NORMS, weight_decay=0.5),
        Group("2.**", optimizer=Lion(), lr=0.02),
        Group(lambda param: param.tensor.shape[0] == 4, lr=0.03),
    ]

    adaptor = AdamW().bind(layers(), lr=1e-3, groups=groups)

    assert placed(adaptor) == {
        "0.weight": 0,
        "0.bias": 1,
        "1.weight": 2,
        "1.bias": 2,
        "2.weight": 3,
        "2.bias": 3,
    }
    assert [g["lr"] for g in adaptor.param_groups] == [1e-3, 1e-3, 1e-3, 0.03]
    assert [g["kind"] for g in adaptor.param_groups] == ["AdamW"] * 4
    assert [g["weight_decay"] for g in adaptor.param_groups] == [0.01, 0.0, 0.5, 0.01]


@pytest.mark.parametrize(
    ("predicate", "cure"),
    [
        (lambda param: param.ndim < 2, "param.tensor.ndim"),
        (lambda param: param.endswith("bias"), "param.path.endswith"),
    ],
)
def test_a_predicate_that_takes_a_parameter_for_its_tensor_or_name_is_told(
    predicate: Any, cure: str
) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"Write {cure}.")):
        AdamW().bind(nn.Linear(2, 2), lr=0.1, groups=[Group(predicate)])


def test_a_pattern_of_a_later_path_of_a_shared_parameter_is_told_the_first() -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight

    with pytest.raises(ValueError, match=r"1\.weight is tied to 0\.weight: a shared"):
        SGD().bind(net, lr=0.1, groups=[Group("1.*", lr=0.2)])


def test_tied_parameters_are_stepped_once_and_stay_tied() -> None:
    net = tree(a=nn.Linear(3, 3, bias=False), b=nn.Linear(3, 3, bias=False))
    net["b"].weight = net["a"].weight
    before = net["a"].weight.detach().clone()
    adaptor = SGD().bind(net, lr=1.0)
    net["a"].weight.grad = torch.ones(3, 3)

    adaptor.step()

    assert net["b"].weight is net["a"].weight
    assert torch.equal(net["a"].weight, before - 1.0)


@pytest.mark.parametrize("fused", [None, True, False])
def test_groups_that_share_memory_are_stepped_one_after_the_other(
    fused: bool | None,
) -> None:
    memory = [torch.linspace(-1, 1, 6) for _ in range(2)]
    nets = [plist(m[:4], m[2:], torch.ones(3)) for m in memory]
    ours = AdamW().bind(
        nets[0], lr=0.1, groups=[Group("{1,2}", weight_decay=0.5)], fused=fused
    )
    first, *others = nets[1]
    groups: list[dict[str, Any]] = [
        {"params": [first]},
        {"params": others, "weight_decay": 0.5},
    ]
    theirs = torch.optim.AdamW(groups, lr=0.1)

    drive(ours, nets[0], 1, 2)
    drive(theirs, nets[1], 1, 2)

    assert distance(*nets) < 1e-6


@pytest.mark.parametrize("fused", [None, True, False])
def test_a_gradient_that_is_a_parameter_of_another_group_is_read_in_its_turn(
    fused: bool | None,
) -> None:
    net = plist(torch.ones(4), torch.ones(4))
    optimizer = SGD().bind(
        net, lr=0.5, groups=[Group("1", weight_decay=0.0)], fused=fused
    )
    net[0].grad, net[1].grad = torch.ones(4), net[0].data

    optimizer.step()

    assert torch.equal(net[0], torch.full((4,), 0.5))
    assert torch.equal(net[1], torch.full((4,), 0.75))


def test_a_copy_of_module_and_optimizer_belongs_together_as_they_did() -> None:
    net = layers()
    optimizer = AdamW().bind(net, lr=0.1)
    drive(optimizer, net, 1)

    for other, copied in (
        copy.deepcopy((net, optimizer)),
        pickle.loads(pickle.dumps((net, optimizer))),
    ):
        grads = Gradients.from_backward(other(torch.ones(1, 8)).sum(), other)
        assert copied.apply_gradients(0.1, other, grads) is other
        with pytest.raises(ValueError, match="bound to a different module"):
            copied.apply_gradients(0.1, net, grads)
        other[2] = torch.nn.Linear(16, 4)
        before = other[2].weight.detach().clone()
        with pytest.warns(RuntimeWarning, match=r"2\.weight, 2\.bias were replaced"):
            drive(copied, other, 2)
        assert not torch.equal(other[2].weight, before)


def test_an_optimizer_without_fields_says_that_they_are_what_groups_change() -> None:
    class Plain(SimpleOptimizer[None]):
        beta = 0.5  # no field: it has no type

    with pytest.raises(ValueError, match=r"'beta'; it has none, .*fields of a datacla"):
        Plain().bind(nn.Linear(2, 2), lr=0.1, groups=[Group("bias", beta=0.1)])


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            ["0.bias", "2.bais"],
            r"\['0.bias', '2.bais'\]\): '2.bais' matches no.*2\.bias.*lambda param",
        ),
        (["0.bias", "2"], r"'2' matches no parameter.*write '2\.\*\*'"),
        ("2", r"Group\('2'\) matches no parameter.*write '2\.\*\*'"),
    ],
    ids=["misspelt", "a layer", "a layer alone"],
)
def test_each_pattern_of_a_group_has_to_match(pattern: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SGD().bind(layers(), lr=0.1, groups=[Group(pattern, lr=1.0)])


def test_a_group_that_shall_be_frozen_is_told_how() -> None:
    with pytest.raises(ValueError, match=r"burnish\.freeze"):
        AdamW().bind(layers(), lr=0.1, groups=[Group("**.bias", frozen=True)])
