"""A step that raises leaves all as it was, or says what moved; memory has one owner."""

import traceback
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import burnish
from burnish.optim import (
    SGD,
    GradientsAccumulator,
    ImpureStepError,
    Muon,
    SimpleOptimizer,
)
from burnish.optim.engines import portions
from burnish.records import Record

from .nets import (
    Net,
    UserAdamW,
    distance,
    drive,
    engine_names,
    equal,
    layers,
    plist,
    set_grads,
    values,
)


class Previous(Record):
    before: Tensor


class Late(SimpleOptimizer[Previous]):
    """Moves to where its state was, and keeps the gradient."""

    def init(self, tensor: Tensor) -> Previous:
        return Previous(torch.full_like(tensor, 7.0))

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Previous) -> Any:
        return state.before, Previous(grad * 2.0)


@pytest.mark.parametrize("fused", [False, None, True])
def test_an_old_state_that_becomes_the_tensor_is_the_old_one(
    fused: bool | None,
) -> None:
    net = plist(torch.zeros(3), torch.zeros(2, 2))
    adaptor = Late().bind(net, lr=0.1, fused=fused)

    for value in (1.0, 2.0):
        for p in net.parameters():
            p.grad = torch.full_like(p, value)
        adaptor.step()

    assert all(torch.equal(p, torch.full_like(p, 2.0)) for p in net.parameters())


def test_accumulated_sums_do_not_change_with_the_gradients() -> None:
    sums = GradientsAccumulator()
    grad = torch.ones(3)

    sums.accumulate({"a": grad})
    grad.zero_()
    sums.accumulate({"a": torch.full((3,), 2.0)})

    assert torch.equal(sums.grads()["a"], torch.full((3,), 3.0))


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("how", ["share_memory_", "data"])
def test_states_whose_storage_moved_are_stepped_where_they_are(
    how: str, fused: bool | None
) -> None:
    left, right = Net(), Net()
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)
    drive(engine, left, 1, 2)
    drive(loop, right, 1, 2)

    for state in engine.state.values():
        for tensor in state.values():
            if isinstance(tensor, Tensor) and how == "data":
                tensor.data = tensor.data.clone()
            elif isinstance(tensor, Tensor):
                tensor.share_memory_()  # type: ignore[no-untyped-call]  # torch's stub
    drive(engine, left, 3, 4)
    drive(loop, right, 3, 4)

    assert distance(left, right) <= 1e-6
    for a, b in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.allclose(engine.state[a]["m"], loop.state[b]["m"], atol=1e-6)


@dataclass(frozen=True, kw_only=True)
class Failing(SimpleOptimizer[None]):
    """Raises for tensors of one size; a norm keeps it from being recorded."""

    size: int

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        if grad.norm() < 0 or tensor.numel() == self.size:
            raise KeyError("mine")  # the author's line
        return tensor - grad * lr, None


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_step_that_raises_for_one_parameter_changes_none(fused: bool | None) -> None:
    net = plist(torch.ones(2), torch.ones(3), torch.ones(4))
    adaptor = Failing(size=4).bind(net, lr=0.1, fused=fused)
    set_grads(net, 1)
    before = values(net)

    with pytest.raises(KeyError, match="mine") as caught:
        adaptor.step()

    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert caught.value.__notes__ == [
        "in the step of Failing for 2; nothing was changed"
    ]


def test_a_step_too_large_to_be_kept_says_which_parameters_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(portions, "ROOM", 8)
    net = plist(torch.ones(2), torch.ones(3), torch.ones(4))
    adaptor = Failing(size=4).bind(net, lr=0.1)
    set_grads(net, 1)
    before = values(net)

    with pytest.raises(KeyError) as caught:
        adaptor.step()

    moved = [not torch.equal(a, b) for a, b in zip(before, net, strict=True)]
    assert moved == [True, True, False]
    assert "2 parameters were moved before: 0, 1" in caught.value.__notes__[0]


def test_small_and_large_rooms_give_the_same_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, right = layers(), layers()
    drive(UserAdamW().bind(left, lr=0.1, fused=False), left, 1, 2)
    monkeypatch.setattr(portions, "ROOM", 0)
    drive(UserAdamW().bind(right, lr=0.1, fused=False), right, 1, 2)

    assert equal(left, right)


def test_stacks_are_stepped_whole_or_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = [plist(*[torch.ones(4, 6) * i for i in range(1, 4)]) for _ in "ab"]
    drive(Muon().bind(nets[0], lr=0.1), nets[0], 1, 2)
    monkeypatch.setattr(portions, "ROOM", 0)
    drive(Muon().bind(nets[1], lr=0.1), nets[1], 1, 2)

    assert equal(*nets)


def test_a_traceback_ends_at_the_authors_line_after_few_of_ours() -> None:
    net = plist(torch.ones(2))
    adaptor = Failing(size=2).bind(net, lr=0.1)
    set_grads(net, 1)

    with pytest.raises(KeyError) as caught:
        adaptor.step()

    frames = traceback.extract_tb(caught.tb)
    ours = [frame for frame in frames if "burnish" in frame.filename]
    assert "the author's line" in str(frames[-1].line)
    assert len(ours) <= 4


RETURNS: dict[str, tuple[Any, str]] = {
    "the tensor alone": (lambda t, g: t - g, "a tensor alone"),
    "nothing": (lambda t, g: None, "None"),
    "three values": (lambda t, g: (t, None, None), "3 values"),
}


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("name", RETURNS)
def test_a_forgotten_state_is_told_in_words(name: str, fused: bool | None) -> None:
    returned, words = RETURNS[name]

    class Forgetful(SimpleOptimizer[None]):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
            return returned(tensor, grad)

    net = plist(torch.ones(3))
    set_grads(net, 1)

    with pytest.raises(ImpureStepError, match=f"returns {words}, expected") as caught:
        Forgetful().bind(net, lr=0.1, fused=fused).step()

    assert "Forgetful for 0" in caught.value.__notes__[0]


class Inner(burnish.Record):
    sum: Tensor
    count: int


class Nested(burnish.Record):
    inner: Inner
    all: list[Inner]


class Nesting(SimpleOptimizer[Nested]):
    """Keeps records within its state."""

    def init(self, tensor: Tensor) -> Nested:
        return Nested(Inner(torch.zeros_like(tensor), 0), [])

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Nested) -> Any:
        inner = Inner(state.inner.sum + grad, state.inner.count + 1)
        older = state.all[0].sum if state.all else grad
        new = tensor - (inner.sum + older) * (lr / inner.count)
        return new, Nested(inner, [Inner(state.inner.sum, 0)])


def test_records_within_a_state_come_back_as_what_they_are() -> None:
    left, right = layers(), layers()
    first = Nesting().bind(left, lr=0.1)
    drive(first, left, 1, 2)
    again = Nesting().bind(right, lr=0.1)
    right.load_state_dict(left.state_dict())

    again.load_record(first.save_record())
    drive(first, left, 3, 4)
    drive(again, right, 3, 4)

    assert engine_names(again) == {"loop"}
    assert equal(left, right)


def test_sparse_and_shared_gradients_step_in_turn() -> None:
    net = plist(torch.ones(4, 2), torch.ones(3))
    at, ones = torch.tensor([[1]]), torch.ones(1, 2)
    net[0].grad = torch.sparse_coo_tensor(at, ones, (4, 2), check_invariants=True)
    net[1].grad = torch.ones(3)

    SGD().bind(net, lr=0.5, fused=False).step()

    assert net[0].tolist() == [[1, 1], [0.5, 0.5], [1, 1], [1, 1]]


class Kept(Record):
    before: Tensor
    held: list[Any]


class Holding(SimpleOptimizer[Kept]):
    """Keeps its old state in a list, and writes a new one in its place."""

    def init(self, tensor: Tensor) -> Kept:
        return Kept(torch.full_like(tensor, 7.0), [])

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Kept) -> Any:
        return tensor - grad, Kept(grad * 1.0, [state.before])


def test_an_old_state_that_is_put_in_a_list_of_the_new_one_stays_as_it_was() -> None:
    net = plist(torch.zeros(3))
    adaptor = Holding().bind(net, lr=0.1)

    drive(adaptor, net, 1)

    assert torch.equal(adaptor.state[net[0]]["held"][0], torch.full((3,), 7.0))
