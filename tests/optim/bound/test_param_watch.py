"""Parameters that were replaced in their module are stepped on."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import (
    LBFGS,
    SGD,
    AdamW,
    ScheduleFreeAdamW,
)

from ..nets import (
    UserAdamW,
    X,
    drive,
    layers,
    same,
    set_grads,
    values,
)


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_parameter_replaced_in_the_module_is_stepped_with_its_state(
    fused: bool | None,
) -> None:
    net, peer = layers(), layers()
    adaptor = UserAdamW().bind(net, lr=1e-2, fused=fused)
    straight = UserAdamW().bind(peer, lr=1e-2, fused=fused)
    drive(adaptor, net, 1)
    drive(straight, peer, 1, 2)

    adaptor.zero_grad()
    net.load_state_dict(
        {k: v.clone() for k, v in net.state_dict().items()}, assign=True
    )
    set_grads(net, 2)
    with pytest.warns(RuntimeWarning, match=r"0\.weight.*w(as|ere) replaced"):
        adaptor.step()

    assert same(values(peer), net)
    assert adaptor.param_groups[0]["params"][0] is net[0].weight


def replace_weight(net: Any) -> None:
    net[0].weight = nn.Parameter(torch.zeros_like(net[0].weight))


def replace_layer(net: Any) -> None:
    net[0] = nn.Linear(8, 16)


@pytest.mark.parametrize("replace", [replace_weight, replace_layer])
@pytest.mark.parametrize("clear", [None, "net", "zeros"])
def test_a_parameter_that_was_replaced_is_stepped_whatever_gradient_the_old_one_has(
    replace: Callable[[Any], None], clear: str | None
) -> None:
    net = layers()
    adaptor = SGD(momentum=0.9).bind(net, lr=0.1)
    drive(adaptor, net, 1)
    if clear == "zeros":
        adaptor.zero_grad(set_to_none=False)
    replace(net)
    if clear == "net":
        net.zero_grad()
    old, before = net[2].weight, net[0].weight.detach().clone()
    set_grads(net, 2)

    with pytest.warns(RuntimeWarning, match=r"0\.weight.*w(as|ere) replaced"):
        adaptor.step()

    assert not torch.equal(before, net[0].weight)
    assert adaptor.param_groups[0]["params"][0] is net[0].weight
    assert net[2].weight is old
    drive(adaptor, net, 3)  # says nothing again


def test_gradients_as_values_find_a_replaced_parameter() -> None:
    net = layers()
    adaptor = SGD().bind(net, lr=0.1)
    replace_weight(net)

    with pytest.warns(RuntimeWarning, match=r"0\.weight"):
        adaptor.apply_gradients(None, net, {"0.weight": torch.ones(16, 8)})

    assert torch.equal(net[0].weight, torch.full((16, 8), -0.1))


def test_a_whole_module_optimizer_refuses_a_replaced_parameter() -> None:
    net = layers()
    adaptor = LBFGS().bind(net)
    replace_weight(net)

    with pytest.raises(
        RuntimeError, match=r"0\.weight was replaced.*bind a new optimizer"
    ):
        adaptor.step(lambda: torch.zeros(()))  # type: ignore[no-untyped-call]  # of torch


def test_a_parameter_that_only_moves_in_the_module_is_not_replaced() -> None:
    net = layers()
    adaptor = SGD().bind(net, lr=0.1)
    net[0] = nn.Sequential(net[0])
    del net[2]
    net.append(nn.Tanh())
    before = net[0][0].weight.detach().clone()

    drive(adaptor, net, 1)

    assert not torch.equal(before, net[0][0].weight)
    (first, *_) = adaptor._bound.params.current()  # pyright: ignore[reportPrivateUsage]  # users have no face for it
    assert first.path == "0.0.weight"


def test_a_layer_replaced_by_another_shape_starts_anew() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    drive(adaptor, net, 1)
    adaptor.zero_grad()
    net[2] = nn.Linear(16, 7)
    before = net[2].weight.detach().clone()
    set_grads(net, 2)

    with pytest.warns(RuntimeWarning, match=r"2\.weight"):
        adaptor.step()

    assert not torch.equal(before, net[2].weight)
    assert adaptor.state[net[2].weight]["step"] == 1


def replaced_head(simple: Any = None, **options: Any) -> tuple[Any, Any]:
    """Return a module, and its optimizer, whose last layer is new since a step."""
    module = layers()
    simple = SGD() if simple is None else simple
    adaptor = simple.bind(module, lr=0.1, **options)
    drive(adaptor, module, 0)
    torch.manual_seed(1)
    module[2] = nn.Linear(16, 4)
    return module, adaptor


def test_a_grad_scaler_unscales_a_parameter_that_was_replaced() -> None:
    module, adaptor = replaced_head()
    before = module[2].bias.detach().clone()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)  # type: ignore[attr-defined]  # torch exports it late

    module.zero_grad()
    scaler.scale(module(X).sum()).backward()
    with pytest.warns(RuntimeWarning, match=r"2\.weight, 2\.bias were replaced"):
        scaler.step(adaptor)

    assert torch.allclose(module[2].bias, before - 0.1 * len(X))


def test_gradients_of_a_parameter_that_was_replaced_are_zeroed_before_its_step() -> (
    None
):
    module, adaptor = replaced_head()
    module(X).sum().backward()

    with pytest.warns(RuntimeWarning, match=r"w(as|ere) replaced"):
        adaptor.zero_grad()

    assert module[2].weight.grad is None
    assert any(p is module[2].weight for p in adaptor.param_groups[0]["params"])


def test_a_parameter_that_was_replaced_moves_to_where_it_is_evaluated() -> None:
    module, adaptor = replaced_head(ScheduleFreeAdamW())
    before = module[2].weight.detach().clone()

    with pytest.warns(RuntimeWarning, match=r"w(as|ere) replaced"):
        adaptor.eval()

    assert not torch.equal(module[2].weight, before)


def test_a_group_that_is_refused_leaves_what_replaced_a_parameter_in_its_own() -> None:
    module, adaptor = replaced_head()
    with pytest.warns(RuntimeWarning, match=r"w(as|ere) replaced"):
        before = [*adaptor.param_groups[0]["params"]]

    with pytest.raises(ValueError, match="more than one parameter group"):
        adaptor.add_param_group({"params": [module[2].weight, module[0].weight]})

    after = adaptor.param_groups[0]["params"]
    assert [id(p) for p in after] == [id(p) for p in before]
    adaptor.add_param_group({"params": [module[2].weight]})
    assert adaptor.param_groups[1]["params"] == [module[2].weight]


@pytest.mark.parametrize("is_followed", [False, True])
def test_what_replaced_a_parameter_may_be_added_as_a_group_of_its_own(
    *, is_followed: bool
) -> None:
    module, adaptor = replaced_head()
    if is_followed:
        with pytest.warns(RuntimeWarning, match=r"w(as|ere) replaced"):
            assert len(adaptor.param_groups) == 1

    adaptor.add_param_group({"params": module[2].parameters(), "lr": 0.0})
    before, first = module[2].weight.detach().clone(), module[0].weight.clone()
    drive(adaptor, module, 1)

    assert torch.equal(module[2].weight, before)
    assert not torch.equal(module[0].weight, first)
    new = [*module[2].parameters()]
    assert not any(p is q for p in adaptor.param_groups[0]["params"] for q in new)
    assert len(adaptor.param_groups) == 2


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_group_added_before_the_next_step_hides_nothing_that_was_replaced(
    *, is_refused: bool
) -> None:
    module, adaptor = replaced_head()
    before = module[2].weight.detach().clone()

    if is_refused:
        with pytest.raises(ValueError, match="more than one parameter group"):
            adaptor.add_param_group({"params": [module[0].weight]})
    else:
        adaptor.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    set_grads(module, 1)
    with pytest.warns(RuntimeWarning, match=r"w(as|ere) replaced"):
        adaptor.step()

    assert not torch.equal(module[2].weight, before)
