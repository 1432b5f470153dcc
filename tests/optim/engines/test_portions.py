"""A step that raises for one parameter changes none, if all fit."""

import pytest
import torch

from burnish.optim import (
    Muon,
)
from burnish.optim.engines import portions

from ..nets import (
    Failing,
    UserAdamW,
    drive,
    equal,
    layers,
    plist,
    set_grads,
    values,
)


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
    assert "2 parameters had been stepped before it: 0, 1" in caught.value.__notes__[0]


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
