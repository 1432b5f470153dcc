"""Which tensors optimizers step, and that somebody is called before they do."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import SGD, AdamW
from burnish.records.tensors import optimizer_steps
from burnish.records.tensors.memory import storage_of
from burnish.records.tensors.optimizer_steps import call_before_steps, stepped_storages


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """What is called before steps notes itself here."""
    calls = list[str]()

    def note() -> None:
        calls.append("step")

    call_before_steps(note)
    yield calls
    vars(optimizer_steps)["_calls"].remove(note)


def stepped(optim: torch.optim.Optimizer, module: nn.Module) -> torch.optim.Optimizer:
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optim.step()
    return optim


def are_stepped(*tensors: Tensor) -> bool:
    storages = stepped_storages(1)
    return all(storage_of(tensor) in storages for tensor in tensors)


class OwnStep(torch.optim.SGD):
    """A step of a user's, which torch wraps as it does its own."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


def test_a_step_of_any_optimizer_of_torch_makes_the_call(calls: list[str]) -> None:
    net = nn.Linear(2, 2)

    stepped(torch.optim.Adam(net.parameters()), net)
    assert len(calls) == 1
    stepped(OwnStep(net.parameters()), net)

    # The step that it calls makes the call too, if torch has wrapped that one.
    assert len(calls) >= 2


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.LBFGS])
@pytest.mark.parametrize("by_name", [True, False])
def test_a_closure_of_torchs_optimizers_comes_before_the_call(
    kind: Any, by_name: bool, calls: list[str]
) -> None:
    net = nn.Linear(2, 2)
    optim = kind(net.parameters(), lr=0.1)
    before = net.weight.detach().clone()

    def closure() -> Tensor:
        if not calls:
            assert torch.equal(net.weight, before)
        loss: Tensor = net(torch.ones(1, 2)).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]  # of torch
        calls.append("closure")
        return loss.detach()

    optim.step(closure=closure) if by_name else optim.step(closure)

    assert calls[:2] == ["closure", "step"]
    assert not torch.equal(net.weight, before)


class Perturbed(torch.optim.SGD):
    """Changes parameters before it asks for the loss, as sharpness-aware ones do."""

    def step(self, closure: Any = None) -> Any:
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.add_(1)
        return closure()


def test_a_closure_of_an_optimizer_of_users_comes_after_the_call(
    calls: list[str],
) -> None:
    optim = Perturbed(nn.Linear(2, 2).parameters())

    optim.step(lambda: calls.append("closure"))

    assert calls == ["step", "closure"]


def test_parameters_and_states_of_optimizers_are_stepped() -> None:
    net = nn.Linear(4, 4)
    optim = stepped(torch.optim.Adam(net.parameters()), net)
    states = [t for state in optim.state.values() for t in state.values()]

    call_before_steps(lambda: None)

    assert are_stepped(*net.parameters(), *states, net.weight.detach()[1:])
    gradient = net.weight.grad
    assert gradient is not None
    assert not are_stepped(torch.zeros(4))
    assert not are_stepped(gradient)


def test_those_of_ours_are_stepped_from_the_beginning() -> None:
    net = nn.Linear(4, 4)
    optim = AdamW().bind(net, lr=0.1)
    assert are_stepped(*net.parameters())

    stepped(optim, net)

    fields = [f for state in optim.state.values() for f in state.values()]
    assert are_stepped(*(f for f in fields if isinstance(f, Tensor)))


def test_one_that_was_made_later_is_known_from_its_first_step(
    calls: list[str],
) -> None:
    net = nn.Linear(4, 4)
    optim = torch.optim.SGD(net.parameters())
    assert not are_stepped(net.weight)

    stepped(optim, net)

    assert are_stepped(net.weight)


@pytest.mark.usefixtures("quick_collections")
def test_what_was_of_a_deleted_optimizer_is_stepped_by_nobody(
    calls: list[str],
) -> None:
    net = nn.Linear(4, 4)
    optim = stepped(torch.optim.SGD(net.parameters()), net)

    del optim
    gc.collect()

    assert not are_stepped(net.weight)


def test_a_step_past_torchs_wrapper_is_not_relied_upon(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nn.Linear(4, 4)
    optim = stepped(OwnStep(net.parameters()), net)
    assert are_stepped(net.weight)

    monkeypatch.setattr(OwnStep, "step", lambda optim, closure=None: None)

    assert isinstance(optim, OwnStep)
    assert not are_stepped(net.weight)


def test_an_optimizer_whose_state_cannot_be_read_makes_no_other_unknown(
    calls: list[str],
) -> None:
    net, other = nn.Linear(4, 4), nn.Linear(4, 4)
    broken = stepped(torch.optim.SGD(other.parameters()), other)
    optim = stepped(torch.optim.SGD(net.parameters()), net)
    broken.param_groups = [{"params": 3}]

    assert optim.state is not None
    assert are_stepped(net.weight)


def test_small_tensors_are_left_out() -> None:
    net = nn.Linear(4, 4)
    optim = SGD().bind(net, lr=0.1)

    storages = stepped_storages(net.weight.nbytes)

    assert optim.param_groups
    assert storage_of(net.weight) in storages
    assert storage_of(net.bias) not in storages
