"""Optimizers that were copied or pickled, with their modules and without."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import LBFGS, SGD, AdamW, RAdam, RMSprop

from .nets import set_grads, values


class Net(nn.Module):
    """Two layers that can be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)


class HoldsItsOptimizer(Net):
    """As a trainer's module does."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizer = AdamW().bind(self, lr=0.1)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


WAYS = pytest.mark.parametrize("way", [copy.deepcopy, pickled])


def trained() -> tuple[Any, Any]:
    """Return a module and its optimizer after a step."""
    net = Net()
    optimizer = AdamW().bind(net, lr=0.1)
    set_grads(net, 0)
    optimizer.step()
    return net, optimizer


@WAYS
@pytest.mark.parametrize("is_module_first", [True, False])
@pytest.mark.parametrize("was_stepped", [True, False])
def test_a_layer_replaced_in_a_copy_is_stepped_and_told_as_in_the_original(
    way: Callable[[Any], Any], *, is_module_first: bool, was_stepped: bool
) -> None:
    net, optimizer = trained()
    if is_module_first:
        other, copied = way((net, optimizer))
    else:
        copied, other = way((optimizer, net))
    if was_stepped:
        set_grads(other, 1)
        copied.step()

    other.second = nn.Linear(4, 2)
    before = values(other.second)
    set_grads(other, 2)
    with pytest.warns(RuntimeWarning, match=r"second\.weight, second\.bias were repl"):
        copied.step()

    pairs = zip(values(other.second), before, strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs)
    assert copied.apply_gradients(None, other, {}) is other


@WAYS
def test_the_original_is_stepped_as_before_when_a_copy_is(
    way: Callable[[Any], Any],
) -> None:
    net, optimizer = trained()
    other, copied = way((net, optimizer))
    for module, some in ((net, optimizer), (other, copied)):
        set_grads(module, 1)
        some.step()

    pairs = zip(values(net), values(other), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)

    set_grads(other, 2)
    copied.step()

    assert not torch.equal(net.first.weight, other.first.weight)


@WAYS
def test_a_module_that_holds_its_optimizer_is_copied_with_it(
    way: Callable[[Any], Any],
) -> None:
    net = HoldsItsOptimizer()
    other = way(net)
    set_grads(other, 0)
    other.optimizer.step()

    other.second = nn.Linear(4, 2)
    set_grads(other, 1)
    with pytest.warns(RuntimeWarning, match=r"second\.weight, second\.bias were repl"):
        other.optimizer.step()

    assert other.optimizer._bound.params.current()[0].tensor is other.first.weight


@WAYS
def test_a_copy_of_a_copy_belongs_to_the_copy_of_its_module(
    way: Callable[[Any], Any],
) -> None:
    other, copied = way(copy.deepcopy(trained()))
    other.second = nn.Linear(4, 2)
    set_grads(other, 1)

    with pytest.warns(RuntimeWarning, match=r"second\.weight, second\.bias were repl"):
        copied.step()


@WAYS
def test_an_optimizer_copied_apart_from_its_module_says_so_when_it_steps_nothing(
    way: Callable[[Any], Any],
) -> None:
    net, optimizer = trained()
    other, copied = way(net), way(optimizer)
    before = values(other)
    set_grads(other, 1)

    with pytest.warns(RuntimeWarning, match="none of its parameters has a gradient"):
        copied.step()
    copied.step()

    assert all(torch.equal(a, b) for a, b in zip(values(other), before, strict=True))


def test_a_module_that_cannot_be_pickled_stays_behind_and_the_copy_says_so() -> None:
    net, optimizer = trained()
    net.hook = lambda: None

    copied = pickled(optimizer)
    for parameter in copied.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)

    with pytest.warns(RuntimeWarning, match="pickled without its module"):
        copied.step()


@WAYS
def test_a_copy_of_lbfgs_refuses_a_replaced_layer_as_the_original_does(
    way: Callable[[Any], Any],
) -> None:
    net = Net()
    optimizer = LBFGS(max_iter=2).bind(net, lr=0.1)
    x = torch.ones(3, 4)

    other, copied = way((net, optimizer))

    def closure() -> Any:
        copied.zero_grad()
        loss = other.second(other.first(x)).square().mean()
        loss.backward()
        return loss

    before = closure()
    copied.step(closure)
    assert closure() < before
    other.second = nn.Linear(4, 2)
    with pytest.raises(RuntimeError, match=r"second\.weight was replaced"):
        copied.step(closure)


def narrow_layers() -> nn.Sequential:
    torch.manual_seed(0)
    pairs = [(nn.Linear(7, 9), nn.Linear(9, 7)) for _ in range(10)]
    return nn.Sequential(*(layer for pair in pairs for layer in pair)).bfloat16()


@WAYS
@pytest.mark.parametrize("simple", [SGD(momentum=0.9), RMSprop(), RAdam()], ids=repr)
def test_a_copy_in_half_precision_goes_on_with_the_bits_of_the_original(
    way: Callable[[Any], Any], simple: Any
) -> None:
    # Blocks of memory end where states do: elsewhere, they would round otherwise.
    net = narrow_layers()
    optimizer = simple.bind(net, lr=1e-2)
    set_grads(net, 0)
    optimizer.step()

    other, copied = way((net, optimizer))
    for seed in range(1, 6):
        for module, steps in ((net, optimizer), (other, copied)):
            set_grads(module, seed)
            steps.step()

    for param, other_param in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(param, other_param)
