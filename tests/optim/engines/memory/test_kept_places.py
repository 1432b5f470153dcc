"""States whose memory was moved are noticed, whoever asks for their addresses."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import AdamW
from burnish.optim.engines.memory import kept_places
from burnish.optim.engines.memory.kept_places import KeptPlaces


@pytest.fixture(params=["C", "Python"], autouse=True)
def _asked_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    adaptor = AdamW().bind(with_gradients(nn.Linear(2, 2)), lr=0.1, fused=True)
    adaptor.step()
    if request.param == "Python":
        monkeypatch.setattr(kept_places, "_passes", [])
    else:
        assert kept_places._passes  # pyright: ignore[reportPrivateUsage]


def with_gradients(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    return module


def assign_data(tensor: Tensor) -> None:
    tensor.data = tensor.data.clone()


def share(tensor: Tensor) -> None:
    tensor.share_memory_()  # type: ignore[no-untyped-call]  # it has no types


def empty(tensor: Tensor) -> None:
    tensor.untyped_storage().resize_(0)


@pytest.mark.parametrize("move", [assign_data, share, empty])
def test_memory_that_moved_is_noticed(move: Callable[[Tensor], None]) -> None:
    tensors = [torch.zeros(3) for _ in range(50)]
    places = KeptPlaces(tensors)
    assert places.are_unchanged()

    move(tensors[31])

    assert not places.are_unchanged()


def test_values_that_changed_in_place_are_no_move() -> None:
    tensors = [torch.zeros(3), torch.zeros(0), torch.zeros(())]
    places = KeptPlaces(tensors)

    tensors[0].add_(1)

    assert places.are_unchanged()


def test_tensors_of_other_classes_and_none_at_all_are_asked_as_well() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    places = KeptPlaces([parameter, torch.zeros(3)])
    assert places.are_unchanged()
    assert KeptPlaces([]).are_unchanged()

    parameter.data = torch.ones(3)

    assert not places.are_unchanged()


@pytest.mark.parametrize("fused", [True, False, None])
def test_a_state_that_has_other_memory_is_stepped_there(fused: bool | None) -> None:
    nets = [nn.Linear(3, 3) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    adaptors = [AdamW().bind(with_gradients(n), lr=0.1, fused=fused) for n in nets]
    for _ in range(2):
        for adaptor in adaptors:
            adaptor.step()
    for fields in adaptors[0].state.values():
        for tensor in fields.values():
            if isinstance(tensor, Tensor):
                assign_data(tensor)

    for adaptor in adaptors:
        adaptor.step()

    assert torch.equal(nets[0].weight, nets[1].weight)
    first, second = (a.state[n.weight] for a, n in zip(adaptors, nets, strict=True))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
